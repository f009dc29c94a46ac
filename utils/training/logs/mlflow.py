"""MLflow (--logger mlflow): to the folder or server in MLFLOW_TRACKING_URI."""

import os
import re
from pathlib import Path
from typing import ClassVar

from utils.training.logs.service import ServiceHook

LONGEST = 500  # characters of a parameter that every version takes


class MlflowHook(ServiceHook):
    """A run of the experiment in MLFLOW_EXPERIMENT_NAME, or else of one that is called like the folder of runs."""

    flag: ClassVar[str] = "mlflow"
    module: ClassVar[str] = "mlflow"

    def open(self, project: str, name: str) -> str:
        """Begin a run, or go on with that of self.id; return its id."""
        self.library.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME") or project)
        going_on = self.id is not None
        run = self.library.start_run(run_id=self.id, run_name=None if going_on else name)
        if not going_on:
            self.library.log_params({key: str(value)[:LONGEST] for key, value in self.settings.items()})
        return run.info.run_id

    def log(self, numbers: dict[str, float], epoch: int) -> None:
        """Send the numbers of an epoch, under names of the characters that are allowed."""
        allowed = {re.sub(r"[^\w\-. /]", "-", name): value for name, value in numbers.items()}
        self.library.log_metrics(allowed, step=epoch)

    def keep(self, file: Path) -> None:
        """Send a checkpoint."""
        self.library.log_artifact(str(file), artifact_path="weights")

    def close(self) -> None:
        """End the run."""
        self.library.end_run()
