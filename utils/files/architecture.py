"""A model yaml beside the network of a checkpoint: where they differ, and what of the one fits the other."""

from collections.abc import Callable
from pathlib import Path

from models.spec import read_yaml
from models.yolo import DetectionModel
from utils.files.checkpoint import empty_model

KEYS = ("backbone", "head", "depth_multiple", "width_multiple", "activation")


def differences(model: DetectionModel, cfg: Path) -> list[str]:
    """Return in words where a model yaml differs from a network: keys, or the widths of layers that were pruned.

    Raises SpecError for a yaml that describes no network.
    """
    given = read_yaml(cfg)
    other = [key for key in KEYS if given.get(key) != model.yaml.get(key)]
    if other:
        return other
    have = model.state_dict()
    want = empty_model({**given, "ch": model.yaml["ch"], "nc": model.nc}).state_dict()
    convs = [name for name, tensor in want.items() if tensor.ndim == 4]
    count = sum(name not in have or have[name].shape != want[name].shape for name in convs)
    return [f"the widths of {count} layers"] if count else []


def say_differences(model: DetectionModel, cfg: Path, say: Callable[[str], object]) -> None:
    """Say in one line where a model yaml differs from the network of a checkpoint, which is kept."""
    other = differences(model, cfg)
    if other:
        say(f"--cfg {cfg.name} differs from the checkpoint in {', '.join(other)}; the checkpoint alone decides")


def transfer_tensors(old: DetectionModel, new: DetectionModel) -> tuple[int, int]:
    """Give a network the tensors of another one that fit it by name and shape; return (their number, that of all).

    Anchors stay those of the new network.
    """
    own = new.state_dict()
    fitting = {
        name: tensor
        for name, tensor in old.state_dict().items()
        if name in own and own[name].shape == tensor.shape and not name.endswith("anchors")
    }
    new.load_state_dict(fitting, strict=False)
    return len(fitting), len(own)
