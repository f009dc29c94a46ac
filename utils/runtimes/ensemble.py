"""Several detectors of the same classes as one."""

from collections.abc import Sequence

import torch

from utils.errors import InputError
from utils.runtimes.interface import Runtime


class Ensemble(Runtime):
    """Detectors that all look at every image; their predictions stand one behind the other, for one suppression."""

    label = "ensemble"

    def __init__(self, members: Sequence[Runtime]) -> None:
        """members: Runtimes, the first of which names the classes.

        Raises InputError when their classes differ, or two files are of different fixed sizes.
        """
        first, sized = members[0], [member for member in members if member.shape]
        for member in members[1:]:
            if member.names != first.names:
                raise InputError(f"{member.path}: {difference(first, member)}; an ensemble must have the same classes")
        for member in sized:
            if member.shape != sized[0].shape:
                raise InputError(
                    f"{member.path}: is for images of {size(member)}, {sized[0].path} for {size(sized[0])}"
                )
        stride = max(member.size_multiple for member in members)
        batch = max((member.batch for member in members if member.batch), default=None)
        super().__init__(first.path, first.names, stride, sized[0].shape if sized else None, batch, first.device)
        self.members = members

    def __call__(self, images: torch.Tensor, augment: bool = False) -> torch.Tensor:
        """Return the predictions [B, sum of the members' N, 5 + nc] for images [B, 3, H, W]."""
        return torch.cat([member(images, augment) for member in self.members], 1)


def size(member: Runtime) -> str:
    """Return the fixed size of a file in words."""
    return "x".join(map(str, member.shape or ()))


def difference(first: Runtime, second: Runtime) -> str:
    """Return in words how the classes of two detectors differ."""
    if first.nc != second.nc:
        return f"has {second.nc} classes, {first.path} has {first.nc}"
    index = next(index for index, name in first.names.items() if second.names.get(index) != name)
    return f"calls class {index} {second.names.get(index)!r}, {first.path} calls it {first.names[index]!r}"
