"""Reading and writing image files through bytes, and the size rule of resizing.

OpenCV never sees a file name: one that is not UTF-8 would end the process.
"""

import errno
import io
import math
import os
import re
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from utils.data.shards.places import located
from utils.errors import InputError
from utils.files.atomic import write_atomically

JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
JPEG_MARK = re.compile(rb"\xff+([^\x00\x01\xff\xd0-\xd8])")  # what may stand within the pixels' data is left out
JPEG_NOISES = bytes(range(254, 0, -1)) * 8, b"\x55\xa3" * 999  # pixels, if the decoder still waits for some
HEIF_BRANDS = b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"  # ISO/IEC 23008-12
HEIF_ADVICE = "; HEIC photos are read by pillow-heif: pip install pillow-heif"
REDUCED = {
    8: cv2.IMREAD_REDUCED_COLOR_8,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    1: cv2.IMREAD_COLOR,
}
FULL_SCALES = 1, 255, 65535  # the brightest value of floating-point and other deep pixels is the first that holds all


def read_image(path: str | os.PathLike, reduction: int = 1) -> np.ndarray | None:
    """Return an image file as uint8 [h, w, 3] in BGR, turned upright by its EXIF data, or None when it is broken.

    reduction: one of REDUCED; a JPEG is decoded at this part of its size, others at their full size.
    """
    try:
        place = located(path)
        if not Path(place.file).is_file():  # a pipe would be waited for
            return None
        data = place.read()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    return decode_image(data, reduction)


def decode_image(data: bytes, reduction: int = 1) -> np.ndarray | None:
    """Return the image that bytes hold as read_image does. What they are, they say themselves.

    A JPEG that lacks pixels counts as broken: OpenCV would fill the rest with grey, under labels that stay. Bytes
    behind its end mark do not matter, and neither does a missing mark alone.
    """
    is_jpeg = data.startswith(JPEG_START)
    if is_jpeg and not data.endswith(JPEG_END) and jpeg_end(data) is None:
        data = _mended(data)
    image = _decoded(data, REDUCED[reduction] if is_jpeg else cv2.IMREAD_COLOR)
    if image is not None:
        return image
    return _shallow(_decoded(data, cv2.IMREAD_UNCHANGED)) if data[:2] in (b"II", b"MM") else _by_pillow(data)


def jpeg_end(data: bytes) -> int | None:
    """Return where the picture of a JPEG ends, behind its end mark; None when that mark is missing."""
    place = 2
    while found := JPEG_MARK.search(data, place):
        place = found.end()
        if found[1] == JPEG_END[1:]:
            return place
        place += int.from_bytes(data[place : place + 2], "big")  # a segment's length counts itself; previews hide there
    return None


def _mended(data):
    """Return the bytes of a JPEG with the end mark that it lacks; nothing when pixels are missing too.

    Where all pixels are there, the decoder passes over what comes next; otherwise it takes that for pixels.
    """
    data = data.rstrip(b"\0").removesuffix(JPEG_END[:1])
    whole = data + JPEG_END
    image = _by_pillow(whole)
    same = all(np.array_equal(image, _by_pillow(data + noise + JPEG_END)) for noise in JPEG_NOISES)
    return whole if image is not None and same else b""


def _decoded(data, flags):
    """Return what OpenCV makes of the bytes of an image, or None."""
    if not data:
        return None
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # for example more pixels than OpenCV allows
        return None


def _by_pillow(data):
    """Return what Pillow makes of the bytes of an image as read_image does, or None. It says nothing on stderr."""
    _heif_into_pillow()
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))[..., ::-1].copy()
    except Exception:  # what its decoders raise for broken files has no end
        return None


@cache
def _heif_into_pillow():
    """Let Pillow open HEIC and HEIF files where pillow-heif is installed; tell whether it is."""
    with suppress(ImportError):
        import_module("pillow_heif").register_heif_opener()
        return True
    return False


def missing_reader(paths: Iterable[str | os.PathLike], heif: Callable[[], bool] = _heif_into_pillow) -> str:
    """Return in words what to install so that some files that cannot be read can be, empty where that is not known.

    heif: tells whether pillow-heif is installed.
    """
    return HEIF_ADVICE if any(map(_is_heif, paths)) and not heif() else ""


def _is_heif(path):
    """Tell whether a file is of the kind HEIC or HEIF."""
    try:
        head = located(path).read(12)
    except (OSError, ValueError):
        return False
    return head[4:8] == b"ftyp" and head[8:] in HEIF_BRANDS


def _shallow(image):
    """Return pixels of more than 8 bits as uint8 [h, w, 3]: black is 0, or the least value below it."""
    if image is None or not np.isfinite(image).all():
        return None
    low, most = min(0, image.min()), image.max()
    high = next((scale for scale in FULL_SCALES if most <= scale), most)
    image = ((image - low) * (255 / (high - low))).round().astype(np.uint8)
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else np.ascontiguousarray(image[..., :3])


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write an image uint8 [h, w] or [h, w, 3] BGR in the format of the suffix. Raises InputError."""
    try:
        done, data = cv2.imencode(Path(path).suffix.lower(), image)
    except cv2.error:
        done = False
    if not done:
        raise InputError(f"{path}: cannot be written in the format of its suffix")
    write_atomically(Path(path), data.tobytes(), durable=False)


def fitted_size(height: int, width: int, imgsz: int) -> tuple[int, int]:
    """Return (h, w) with the long side equal to imgsz, both sides rounded up as the public code does it.

    The arithmetic is in double precision, so a side may exceed the exact value by one, the long one too:
    147 · (640 / 147) is a little more than 640 and becomes 641.
    """
    ratio = imgsz / max(height, width)
    return math.ceil(height * ratio), math.ceil(width * ratio)


def reduction_for(height: int, width: int, imgsz: int) -> int:
    """Return the largest of REDUCED that divides the sides of a JPEG and leaves its long one imgsz or more.

    Where a side is not divided, the last row would stand for pixels that are not there, and boxes would move.
    """
    fitting = (
        part for part in REDUCED if max(height, width) >= part * imgsz and not height % part and not width % part
    )
    return next(fitting, 1)


def fit_image(image: np.ndarray, imgsz: int, shrink_by_area: bool, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Resize [h, w, c] to its fitted_size: linear, or by area when shrinking and shrink_by_area is set.

    shape: (h, w) of the photo, of an image that was decoded at a reduction.
    """
    photo = shape or image.shape[:2]
    height, width = fitted_size(photo[0], photo[1], imgsz)
    if (height, width) == image.shape[:2]:
        return image
    by_area = shrink_by_area and imgsz < max(image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if by_area else cv2.INTER_LINEAR)


def check_writable(folder: Path) -> None:
    """Raise PermissionError for a folder that is marked read-only.

    Root, the usual user in containers, could write there all the same, into data that its owner wants left alone.
    """
    if not os.stat(folder).st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def write_array(path: str | Path, array: np.ndarray, tail: bytes = b"") -> None:
    """Write an array as .npy, whole or not at all.

    tail: bytes behind the array, which readers of .npy do not look at. Raises InputError where that is not possible,
    and PermissionError where it is not wanted (check_writable).
    """
    check_writable(Path(path).parent)
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_atomically(path, buffer.getvalue() + tail, durable=False)
