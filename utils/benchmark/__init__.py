"""benchmark.py: detectors compared on this machine."""
