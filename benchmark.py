"""Compare detectors on this machine: time, size, memory, energy and mAP."""

from utils.cli.start import run

if __name__ == "__main__":
    run("utils.benchmark.options:BenchmarkOptions", "utils.benchmark.benchmark:benchmark", __doc__)
