"""slim.py --sweep with its runs spread by Ray Tune: pip install "ray[tune]"; the flags are those of slim.py.

RAY_CPUS and RAY_GPUS say how much one run takes (4 and 0). All machines see project and images under the same paths.
"""

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")  # paths in the flags are relative to here
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ray import tune  # noqa: E402  (the path and the setting come first)

from utils.cli.start import run  # noqa: E402
from utils.slimming.options import SlimOptions  # noqa: E402
from utils.slimming.slim import slim  # noqa: E402
from utils.slimming.sweep import begin, finished_run, planned_runs, sweep  # noqa: E402


def main(options: SlimOptions) -> None:
    """Do the runs where there is room, then compare them here; what is finished is not done again."""
    folder, _ = begin(options)
    folder = folder.resolve()
    runs = planned_runs(options, folder)

    def part(config: dict[str, str]) -> dict[str, Any]:
        """Do one run; return its numbers for the table of Ray Tune."""
        name = config["run"]
        network = (finished_run(folder / name) or slim(runs[name])).state.networks[-1]
        return {"map": network.map, "gflops": network.gflops}

    room = {"cpu": float(os.environ.get("RAY_CPUS", 4)), "gpu": float(os.environ.get("RAY_GPUS", 0))}
    tune.Tuner(tune.with_resources(part, room), param_space={"run": tune.grid_search(list(runs))}).fit()
    sweep(options)


if __name__ == "__main__":
    run(SlimOptions, main, __doc__)
