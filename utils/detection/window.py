"""A window that shows pictures, where there is a display."""

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

from utils.errors import InputError
from utils.files.paths import valid_text

QUIT = (ord("q"), 27)  # 27: Esc


def require_display(
    flag: str,
    *,
    environment: Mapping[str, str] = os.environ,
    platform: str = sys.platform,
    framework: Callable[[], str] = cv2.currentUIFramework,
) -> None:
    """Raise InputError, which names the flag, where no window can be shown.

    framework: returns the name of OpenCV's window system, empty in packages without one.
    """
    # Qt ends the whole program when there is no display, so this is asked first.
    if platform.startswith("linux") and not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
        raise InputError(f"{flag}: there is no display here; leave it out and look at the files in the run's folder")
    if not framework():
        packages = "pip uninstall opencv-python-headless, pip install opencv-python"
        raise InputError(f"{flag}: this OpenCV has no windows; {packages}")


def show(title: str, image: np.ndarray, moving: bool, *, window: Any = cv2) -> bool:
    """Show a picture uint8 [h, w, 3] BGR in a window; return whether the user wants to go on.

    A still picture stays until a key is pressed; a frame of a video (moving) does not wait. q and Esc end.
    window: has imshow and waitKey as OpenCV has.
    """
    window.imshow(valid_text(title), image)
    return window.waitKey(1 if moving else 0) & 0xFF not in QUIT
