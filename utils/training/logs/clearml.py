"""ClearML (--logger clearml): to the server that `clearml-init` or CLEARML_* variables name."""

from pathlib import Path
from typing import ClassVar

from utils.training.logs.service import ServiceHook


class ClearmlHook(ServiceHook):
    """A task of the project that is called like the folder of runs."""

    flag: ClassVar[str] = "clearml"
    module: ClassVar[str] = "clearml"

    def open(self, project: str, name: str) -> str:
        """Begin a task, or go on with that of self.id; return its id."""
        self.task = self.library.Task.init(
            project_name=project,
            task_name=name,
            reuse_last_task_id=False,
            continue_last_task=self.id or False,
            auto_connect_frameworks=False,  # it would send every file that PyTorch and TensorBoard write
        )
        if self.id is None:
            self.task.connect(self.settings)
        return self.task.id

    def log(self, numbers: dict[str, float], epoch: int) -> None:
        """Send the numbers of an epoch, those with one beginning into one chart."""
        for name, value in numbers.items():
            title, _, series = name.partition("/")
            self.task.get_logger().report_scalar(title, series or title, value, epoch)

    def keep(self, file: Path) -> None:
        """Send a checkpoint as the output model."""
        self.task.update_output_model(model_path=str(file), model_name=file.name)

    def close(self) -> None:
        """End the task."""
        self.task.close()
