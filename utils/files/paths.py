"""Where things are found and every file name that a run writes."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from utils.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def find_file(name: str | Path, *folders: str, what: str = "file") -> Path:
    """Return the path of a file given by path or, without a folder, by its name in one of the project's folders.

    find_file("yolov5n.yaml", "models", "models/hub") tries the name as given, then below ROOT, then in each folder.
    Raises InputError that lists where it looked.
    """
    if not str(name):
        raise InputError(f"no {what} is named; must be a path or the name of one of the project's")
    given = Path(name).expanduser()
    candidates = [given, ROOT / given, *(ROOT / folder / given for folder in folders)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    places = ", ".join(dict.fromkeys(str(c.parent) for c in candidates))
    raise InputError(f"{name}: no such {what}; looked in {places}")


def new_run(project: str | Path, name: str, exist_ok: bool = False) -> Path:
    """Create and return project/name, or name2, name3, … when it exists, so that no run is overwritten.

    Raises InputError when that is not possible.
    """
    if not name:
        raise InputError("--name is empty; must be the folder of this run")
    base = Path(project) / name
    number, path = 2, base
    while True:
        try:
            path.mkdir(parents=True, exist_ok=exist_ok)
            return path
        except FileExistsError:
            path = base.with_name(f"{base.name}{number}")
            number += 1
        except OSError as error:
            raise InputError(f"{path}: cannot be created ({error.strerror}); choose another --project") from None


def cache_folder() -> Path:
    """Return the project's folder among the user's caches."""
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base or "~/.cache").expanduser() / "yolov5-slim"


def check_project(project: str | Path, name: str) -> None:
    """Raise InputError when new_run could not create a folder: nothing has been computed yet that would be lost."""
    if not name:
        raise InputError("--name is empty; must be the folder of this run")
    place = (Path(project) / name).parent.absolute()
    above = next(folder for folder in (place, *place.parents) if folder.exists())
    if not above.is_dir():
        raise InputError(f"--project {project}: {above} is a file; must be a folder")
    if not os.access(above, os.W_OK):
        raise InputError(f"--project {project}: the folder {above} cannot be written to")


def free_name(path: Path) -> Path:
    """Return a path, or when something is there the first of name_1, name_2, … that is free."""
    candidate, number = path, 1
    while candidate.exists():
        candidate = path.with_name(f"{path.stem}_{number}{path.suffix}")
        number += 1
    return candidate


def distinct_names(paths: Iterable[str | Path]) -> dict[str, str]:
    """Return {path: the fewest of its last parts that no other path ends with}, the keys and values as text."""
    names = {str(path): str(path) for path in paths}
    for name in names:
        for count in range(len(Path(name).parts), 0, -1):
            tail = Path(name).parts[-count:]
            if any(Path(other).parts[-count:] == tail for other in names if other != name):
                break
            names[name] = str(Path(*tail))
    return names


@dataclass(frozen=True)
class RunFolder:
    """The files of one run, named as the public YOLOv5 names them."""

    path: Path

    @property
    def weights(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "weights"

    @property
    def last(self) -> Path:
        """Checkpoint of the last epoch."""
        return self.weights / "last.pt"

    @property
    def best(self) -> Path:
        """Checkpoint of the best fitness."""
        return self.weights / "best.pt"

    @property
    def best_sparse(self) -> Path:
        """Checkpoint of the best fitness once the channels that pruning would cut are at zero."""
        return self.weights / "best_sparse.pt"

    def epoch_checkpoint(self, epoch: int) -> Path:
        """Checkpoint kept every --save-period epochs."""
        return self.weights / f"epoch{epoch}.pt"

    @property
    def opt_yaml(self) -> Path:
        """Options of the run."""
        return self.path / "opt.yaml"

    @property
    def hyp_yaml(self) -> Path:
        """Hyper-parameters of the run."""
        return self.path / "hyp.yaml"

    @property
    def results_csv(self) -> Path:
        """One row of numbers an epoch."""
        return self.path / "results.csv"

    @property
    def results_png(self) -> Path:
        """Plot of results_csv."""
        return self.path / "results.png"

    @property
    def final_json(self) -> Path:
        """Accuracy of the weights to use; the last file that a run writes."""
        return self.path / "final.json"

    @property
    def gamma_csv(self) -> Path:
        """Histogram of the batch norm weights, one row an epoch."""
        return self.path / "gamma.csv"

    @property
    def gamma_png(self) -> Path:
        """Plot of gamma_csv."""
        return self.path / "gamma.png"

    @property
    def labels_jpg(self) -> Path:
        """Distribution of the training labels."""
        return self.path / "labels.jpg"

    @property
    def labels_correlogram(self) -> Path:
        """How place and size of the training labels go together."""
        return self.path / "labels_correlogram.jpg"

    @property
    def confusion_matrix(self) -> Path:
        """Confusion matrix picture."""
        return self.path / "confusion_matrix.png"

    @property
    def pr_curve(self) -> Path:
        """Precision over recall."""
        return self.path / "PR_curve.png"

    @property
    def f1_curve(self) -> Path:
        """F1 over confidence."""
        return self.path / "F1_curve.png"

    @property
    def p_curve(self) -> Path:
        """Precision over confidence."""
        return self.path / "P_curve.png"

    @property
    def r_curve(self) -> Path:
        """Recall over confidence."""
        return self.path / "R_curve.png"

    @property
    def crops(self) -> Path:
        """Folder of cut-out detections."""
        return self.path / "crops"

    @property
    def text_labels(self) -> Path:
        """Folder of detections as label files."""
        return self.path / "labels"

    def train_batch(self, index: int) -> Path:
        """Picture of a training batch."""
        return self.path / f"train_batch{index}.jpg"

    def val_batch_labels(self, index: int) -> Path:
        """Picture of a validation batch with its labels."""
        return self.path / f"val_batch{index}_labels.jpg"

    def val_batch_pred(self, index: int) -> Path:
        """Picture of a validation batch with the detections."""
        return self.path / f"val_batch{index}_pred.jpg"


def valid_text(path: str | Path) -> str:
    r"""Return a path as text that any library and terminal takes: bytes that are not UTF-8 are shown as \udcff."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def size_of(path: str | Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    path = Path(path)
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def check_output(name: str) -> Path:
    """Return --out as a Path. Raises InputError when it cannot be written."""
    out = Path(name)
    if not out.name or out.is_dir():
        raise InputError(f"--out {out}: is a folder; must be the file to write, such as pruned_model.pt")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: the folder {out.parent} does not exist")
    if out.suffix != ".pt":
        raise InputError(f"--out {out}: must end with .pt, a checkpoint is written")
    if not os.access(out.parent, os.W_OK):
        raise InputError(f"--out {out}: the folder {out.parent} cannot be written to")
    return out
