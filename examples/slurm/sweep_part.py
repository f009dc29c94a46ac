"""One run of slim.py --sweep in a Slurm array; the flags are those of slim.py.

Without SLURM_ARRAY_TASK_ID it begins the sweep and prints how many runs it has. sweep.sbatch says how they are started.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from utils.cli.start import run  # noqa: E402  (the path comes first)
from utils.slimming.options import SlimOptions  # noqa: E402
from utils.slimming.slim import slim  # noqa: E402
from utils.slimming.sweep import begin, finished_run, planned_runs  # noqa: E402


def main(options: SlimOptions) -> None:
    """Begin the sweep, or do the run of this part of the array; an interrupted one goes on."""
    folder, _ = begin(options)
    runs = list(planned_runs(options, folder).items())
    number = os.environ.get("SLURM_ARRAY_TASK_ID")
    if number is None:
        print(len(runs))
        return
    name, part = runs[int(number)]
    if finished_run(folder / name) is None:
        slim(part)


if __name__ == "__main__":
    run(SlimOptions, main, __doc__)
