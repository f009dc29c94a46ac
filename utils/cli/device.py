"""The device that a user names with --device."""

from collections.abc import Callable

import torch

from utils.errors import InputError


def select_device(
    name: str | int = "", rank: int | None = None, *, count: Callable[[], int] = torch.cuda.device_count
) -> torch.device:
    """Return the torch device for "" (the first GPU if there is one, otherwise the CPU), "cpu", "mps", "0", "cuda:0".

    rank: of this process among those of a training on this machine, None when it is the only one. Each process has a
    GPU of its own: the one at that place in a list such as "2,3", or that with the number of the rank. count: returns
    how many GPUs there are.

    Raises InputError for a device that this computer does not have, and for a list without several processes.
    """
    name = str(name).strip().lower()
    if name in ("", "cpu", "mps"):
        if name == "mps" and not torch.backends.mps.is_available():
            raise InputError("--device mps: not available here; use cpu")
        if name or not count():
            return torch.device(name or "cpu")
    numbers = [number.strip() for number in name.removeprefix("cuda:").split(",")] if name else ["0"]
    if not all(number.isdigit() for number in numbers):
        raise InputError(f"--device {name}: must be cpu, mps or the number of one GPU, such as 0")
    if rank is None and len(numbers) > 1:
        start = f"torchrun --nproc_per_node {len(numbers)} train.py --device {name}"
        raise InputError(f"--device {name}: several GPUs train with a process each: {start} and the other flags")
    if rank is not None and 1 < len(numbers) <= rank:
        raise InputError(f"--device {name}: names {len(numbers)} GPUs for more processes; name one for each")
    number = int(numbers[0] if rank is None else numbers[rank] if len(numbers) > 1 else rank)
    found = count()
    if number >= found:
        known = f"0 to {found - 1}" if found else "none; use cpu"
        raise InputError(f"--device {name}: no such CUDA device; found {known}")
    return torch.device(f"cuda:{number}")
