"""Comet (--logger comet): to the workspace that `comet login` or COMET_API_KEY names."""

from pathlib import Path
from typing import ClassVar

from utils.training.logs.service import ServiceHook


class CometHook(ServiceHook):
    """An experiment of the project in COMET_PROJECT_NAME, or else of one that is called like the folder of runs."""

    flag: ClassVar[str] = "comet"
    module: ClassVar[str] = "comet_ml"

    def open(self, project: str, name: str) -> str:
        """Begin an experiment, or go on with that of self.id; return its id."""
        project = self.library.get_config()["comet.project_name"] or project
        if self.id is not None:
            self.experiment = self.library.ExistingExperiment(previous_experiment=self.id)
        else:
            self.experiment = self.library.Experiment(project_name=project)
            self.experiment.set_name(name)
            self.experiment.log_parameters(self.settings)
        return self.experiment.get_key()

    def log(self, numbers: dict[str, float], epoch: int) -> None:
        """Send the numbers of an epoch."""
        self.experiment.log_metrics(numbers, step=epoch, epoch=epoch)

    def keep(self, file: Path) -> None:
        """Send a checkpoint."""
        self.experiment.log_model(name=file.stem, file_or_folder=str(file))

    def close(self) -> None:
        """End the experiment."""
        self.experiment.end()
