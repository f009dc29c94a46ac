"""What the processor of this machine is called; needs no PyTorch."""

import platform
from contextlib import suppress
from pathlib import Path


def processor() -> str:
    """Return the name of this machine's processor."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()
