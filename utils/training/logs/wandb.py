"""Weights & Biases (--logger wandb): to the account that `wandb login` or WANDB_API_KEY names."""

from pathlib import Path
from typing import ClassVar

from utils.training.logs.service import ServiceHook


class WandbHook(ServiceHook):
    """A run of the project in WANDB_PROJECT, or else of one that is called like the folder of runs."""

    flag: ClassVar[str] = "wandb"
    module: ClassVar[str] = "wandb"

    def open(self, project: str, name: str) -> str:
        """Begin a run, or go on with that of self.id; return its id."""
        project = self.library.Settings().project or project
        self.run = self.library.init(project=project, name=name, config=self.settings, id=self.id, resume="allow")
        return self.run.id

    def log(self, numbers: dict[str, float], epoch: int) -> None:
        """Send the numbers of an epoch."""
        self.run.log(numbers, step=epoch)

    def keep(self, file: Path) -> None:
        """Send a checkpoint as an artifact."""
        artifact = self.library.Artifact(f"run_{self.id}_model", type="model")
        artifact.add_file(str(file))
        self.run.log_artifact(artifact)

    def close(self) -> None:
        """End the run."""
        self.run.finish()
