"""What a torch.hub model found on a list of pictures, in the forms that programs ask for."""

import os
import sys
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from utils.boxes.geometry import xyxy2xywh
from utils.data.images import write_image
from utils.detection.outputs import crop_box, objects_line, write_crops
from utils.errors import InputError
from utils.files.paths import new_run
from utils.pictures.drawing import draw_detections
from utils.validation.evaluate import format_speed

CORNERS = ("xmin", "ymin", "xmax", "ymax", "confidence", "class", "name")
CENTRES = ("xcenter", "ycenter", "width", "height", "confidence", "class", "name")
SAVE_DIR = "runs/detect/exp"


class Detections:
    """The detections on n pictures.

    Lists with an entry for each picture: ims (uint8 [h, w, 3] RGB), files (names), and the detections [k, 6], the
    surest first, with score and class behind the box: xyxy and xywh in pixels, xyxyn and xywhn as shares of the sides.
    n: how many pictures. names: class index → name. s: shape of the batch that the network saw. times: seconds of
    pre-processing, inference and suppression of all pictures; t: milliseconds of one.
    """

    def __init__(
        self,
        ims: list[np.ndarray],
        pred: list[torch.Tensor],
        files: list[str],
        times: Sequence[float] = (0.0, 0.0, 0.0),
        names: Any = None,
        shape: Any = None,
    ) -> None:
        """ims, files, times, names: as above; pred: the list xyxy; shape: s."""
        self.ims, self.pred, self.files, self.times, self.names, self.s = ims, pred, files, times, names, shape
        self.n = len(pred)
        self.t = tuple(1000 * seconds / max(self.n, 1) for seconds in times)
        self.xyxy = pred
        self.xywh = [torch.cat((xyxy2xywh(rows[:, :4]), rows[:, 4:]), 1) for rows in pred]
        self.xyxyn = [self.shares(rows, image) for rows, image in zip(self.xyxy, ims)]
        self.xywhn = [self.shares(rows, image) for rows, image in zip(self.xywh, ims)]

    @staticmethod
    def shares(rows: torch.Tensor, image: np.ndarray) -> torch.Tensor:
        """Return rows [k, 6] with the box in shares of the image's width and height."""
        height, width = image.shape[:2]
        return rows / rows.new_tensor([width, height, width, height, 1, 1])

    @property
    def imgs(self) -> list[np.ndarray]:
        """The pictures, as programs written before version 6.2 call them."""
        return self.ims

    def __len__(self) -> int:
        return self.n

    def __str__(self) -> str:
        lines = []
        for number, (image, rows) in enumerate(zip(self.ims, self.pred), 1):
            words = objects_line(rows, self.names) if len(rows) else "(no detections)"
            lines.append(f"image {number}/{self.n}: {image.shape[0]}x{image.shape[1]} {words}")
        return "\n".join([*lines, format_speed(self.t, self.s)])

    def __repr__(self) -> str:
        return f"{type(self).__name__} on {self.n} image{'s' * (self.n != 1)}\n{self}"

    def print(self) -> None:
        """Print what was found, a line for each picture, and the times."""
        print(self)

    def tolist(self) -> list["Detections"]:
        """Return a list of Detections of one picture each."""
        share = [seconds / max(self.n, 1) for seconds in self.times]
        return [
            Detections([image], [rows], [file], share, self.names, self.s)
            for image, rows, file in zip(self.ims, self.pred, self.files)
        ]

    def pandas(self) -> "Detections":
        """Return a copy whose xyxy, xyxyn, xywh, xywhn are lists of DataFrame. Raises InputError without pandas."""
        try:
            from pandas import DataFrame
        except ImportError:
            raise InputError("results.pandas() needs pandas; pip install pandas") from None
        tables = copy(self)
        for attribute, columns in (("xyxy", CORNERS), ("xyxyn", CORNERS), ("xywh", CENTRES), ("xywhn", CENTRES)):
            lists = [
                [[*row[:5], int(row[5]), self.names[int(row[5])]] for row in rows.tolist()]
                for rows in getattr(self, attribute)
            ]
            setattr(tables, attribute, [DataFrame(rows, columns=columns) for rows in lists])
        return tables

    def render(self, labels: bool = True) -> list[np.ndarray]:
        """Draw the boxes on `ims`, with names and scores if labels; return `ims`."""
        self.ims[:] = [cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) for picture in self.drawn(labels)]
        return self.ims

    def drawn(self, labels: bool = True) -> Iterator[np.ndarray]:
        """Yield copies of `ims` in BGR with the boxes drawn on them."""
        for image, rows in zip(self.ims, self.pred):
            yield draw_detections(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), rows, self.names, labels=labels)

    def show(self, labels: bool = True) -> None:
        """Show the pictures with boxes in the notebook or the system's viewer. Raises InputError without a display."""
        notebook = "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None
        display = not sys.platform.startswith("linux") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        if not notebook and not display:
            raise InputError("results.show(): there is no display here; use results.save()")
        for picture in self.drawn(labels):
            shown = Image.fromarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
            if notebook:
                sys.modules["IPython"].display.display(shown)
            else:
                shown.show()

    def save(self, labels: bool = True, save_dir: str | Path = SAVE_DIR, exist_ok: bool = False) -> None:
        """Write the pictures with boxes into a folder, the first free of save_dir, save_dir2, …. Raises InputError."""
        folder = self.folder(save_dir, exist_ok)
        for picture, file in zip(self.drawn(labels), self.files):
            write_image(folder / file, picture)
        print(f"Saved {self.n} image{'s' * (self.n != 1)} to {folder}")

    def crop(self, save: bool = True, save_dir: str | Path = SAVE_DIR, exist_ok: bool = False) -> list[dict[str, Any]]:
        """Return a dict for each detection, the surest of a picture last: box (4 values xyxy), conf, cls, label, im.

        im is the part of the picture with a little margin, uint8 [h, w, 3] BGR as OpenCV wants it. With save they are
        also written to save_dir/crops/<class>/, numbered as for `save`. Raises InputError.
        """
        folder = self.folder(save_dir, exist_ok) if save else None
        crops = []
        for image, rows, file in zip(self.ims, self.pred, self.files):
            picture = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
            for *box, conf, cls in reversed(rows):
                left, top, right, bottom = crop_box(torch.stack(box).cpu(), picture.shape)
                crops.append(
                    {
                        "box": box,
                        "conf": conf,
                        "cls": cls,
                        "label": f"{self.names[int(cls)]} {conf:.2f}",
                        "im": np.ascontiguousarray(picture[top:bottom, left:right]),
                    }
                )
            if folder:
                write_crops(folder / "crops", Path(file).stem, picture, rows, self.names)
        if folder:
            print(f"Saved {len(crops)} crop{'s' * (len(crops) != 1)} to {folder / 'crops'}")
        return crops

    @staticmethod
    def folder(save_dir: str | Path, exist_ok: bool) -> Path:
        """Return a new folder, or save_dir itself with exist_ok."""
        return new_run(Path(save_dir).parent, Path(save_dir).name, exist_ok)
