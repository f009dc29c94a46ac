"""The device that a user names with --device."""

import torch

from utils.errors import InputError


def select_device(name: str | int = "") -> torch.device:
    """Return the torch device for "" (the first GPU if there is one, otherwise the CPU), "cpu", "mps", "0", "cuda:0".

    Raises InputError for a device that this computer does not have.
    """
    name = str(name).strip().lower()
    if name in ("", "cpu", "mps"):
        if name == "mps" and not torch.backends.mps.is_available():
            raise InputError("--device mps: not available here; use cpu")
        return torch.device(name or ("cuda:0" if torch.cuda.is_available() else "cpu"))
    number = name.removeprefix("cuda:")
    found = torch.cuda.device_count()
    if not number.isdigit():
        raise InputError(f"--device {name}: must be cpu, mps or the number of one GPU, such as 0")
    if int(number) >= found:
        known = f"0 to {found - 1}" if found else "none; use cpu"
        raise InputError(f"--device {name}: no such CUDA device; found {known}")
    return torch.device(f"cuda:{number}")
