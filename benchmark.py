"""Compare detectors on this machine: time, size, memory, energy and mAP."""

from utils.benchmark.benchmark import BenchmarkOptions, benchmark
from utils.cli.options import run

if __name__ == "__main__":
    run(BenchmarkOptions, benchmark, __doc__)
