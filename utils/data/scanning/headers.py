"""The size of a photo from its head and its end, without decoding it.

JPEG: ITU-T T.81, annex B; its orientation: CIPA DC-008 (EXIF). PNG: W3C PNG specification. WebP: RFC 9649, RFC 6386.
What these few lines do not understand is decoded: they may leave a photo to the decoder, and must not contradict it.
"""

import os
import stat
import struct

from utils.data.images import JPEG_END, JPEG_START, read_image
from utils.data.shards.places import located

HEAD, TAIL = 4096, 65536  # bytes that are read at once
LARGEST = 1 << 26  # pixels; decoders have limits above it
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations where width and height change places
ORIENTATION, SHORT = 0x0112, 3  # EXIF tag and its type
FRAMES, TABLES, SCAN, APP1 = (0xC0, 0xC1, 0xC2), (0xC4, 0xDB, 0xDD), 0xDA, 0xE1  # kinds of segments of a JPEG
NOTES = (*range(0xE0, 0xF0), 0xFE)
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\0\0\0\0IEND\xaeB`\x82"

Shape = tuple[int, int]  # h, w


class Bytes:
    """The bytes of a file, or of one within an open file, of which the first are at hand."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        self.descriptor, self.start, self.size = descriptor, start, size
        self.head = self.read(0, HEAD)

    def at(self, place: int, count: int) -> bytes:
        """Return `count` bytes from a place on, fewer at the end of the file."""
        if place + count <= len(self.head):
            return self.head[place : place + count]
        return self.read(place, count)

    def read(self, place: int, count: int) -> bytes:
        """Return the same from the disk; without os.pread, which Windows lacks."""
        os.lseek(self.descriptor, self.start + place, os.SEEK_SET)
        return os.read(self.descriptor, max(min(count, self.size - place), 0))

    def end(self, count: int) -> bytes:
        """Return the last bytes."""
        return self.at(max(self.size - count, 0), count)


def photo_shape(path: str | os.PathLike, decode: bool = False) -> Shape | None:
    """Return (h, w) of an image file as read_image would, None when it is broken.

    decode: look at every pixel. Otherwise a JPEG, PNG, WebP or BMP whose head and end are whole is taken at its word;
    everything else is decoded.
    """
    shape = None if decode else _stated_shape(path)
    if shape is None:
        image = read_image(path)
        shape = None if image is None else image.shape[:2]
    return shape


def _stated_shape(path):
    """Return the (h, w) that a file states, None where that is no plain, whole photo."""
    place = located(path)
    try:
        status = os.stat(place.file)
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            return None
        descriptor = os.open(place.file, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    try:
        data = Bytes(descriptor, place.start, status.st_size if place.size is None else place.size)
        kind = next((read for start, read in KINDS.items() if data.head.startswith(start)), None)
        shape = kind(data) if kind else None
    except (OSError, struct.error, IndexError):  # the last two: it ends within its head
        return None
    finally:
        os.close(descriptor)
    return shape if shape and min(shape) > 0 and shape[0] * shape[1] <= LARGEST else None


def _jpeg_shape(data):
    """Return (h, w) of a JPEG with an end mark, upright."""
    if data.end(2) != JPEG_END:
        return None
    place, shape, upright, extra = 2, None, True, False
    while True:
        start, kind, length = struct.unpack(">BBH", data.at(place, 4))
        if kind == SCAN:
            break
        if start != JPEG_END[0] or kind not in (*FRAMES, *TABLES, *NOTES) or length < 2:
            return None
        if kind in FRAMES:
            precision, height, width, components = struct.unpack(">BHHB", data.at(place + 4, 6))
            if shape or precision != 8 or components not in (1, 3, 4):
                return None
            shape = height, width
        elif kind == APP1 and not extra:  # the decoder looks at the first of them alone
            extra, turned = True, _turned_sideways(data.at(place + 4, length - 2))
            if turned is None:
                return None
            upright = not turned
        place += 2 + length
    if shape is None or place + 4 >= data.size:
        return None
    return shape if upright else shape[::-1]


def _turned_sideways(exif):
    """Tell whether the EXIF data of a JPEG turns it on its side; None where they are unusual."""
    order = {b"Exif\0\0II*\0": "<", b"Exif\0\0MM\0*": ">"}.get(exif[:10])
    if order is None:
        return None
    tiff = exif[6:]
    (first,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, first)
    entries = [struct.unpack_from(f"{order}HHIH", tiff, first + 2 + 12 * index) for index in range(count)]
    found = [entry[1:] for entry in entries if entry[0] == ORIENTATION]
    if any(entry[:2] != (SHORT, 1) for entry in found) or len(found) > 1:
        return None
    return bool(found) and found[0][2] in SIDEWAYS


def _png_shape(data):
    """Return (h, w) of a PNG that ends as it should, and is neither turned nor animated."""
    if data.end(len(PNG_END)) != PNG_END or b"eXIf" in data.end(TAIL):
        return None
    place = len(PNG_START) - 8
    while True:
        length, kind = struct.unpack(">I4s", data.at(place, 8))
        if kind in (b"eXIf", b"acTL", b"IEND"):
            return None
        if kind == b"IDAT":
            return struct.unpack(">II", data.at(len(PNG_START), 8))[::-1]
        place += 12 + length


def _webp_shape(data):
    """Return (h, w) of a plain WebP whose length is as stated; those with more parts may be turned or animated."""
    (length,) = struct.unpack_from("<I", data.head, 4)
    if length + 8 != data.size:
        return None
    kind = data.head[8:16]
    if kind == b"WEBPVP8 " and data.head[23:26] == b"\x9d\x01*":
        width, height = struct.unpack_from("<HH", data.head, 26)
        return height & 0x3FFF, width & 0x3FFF
    if kind == b"WEBPVP8L" and data.head[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data.head, 21)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    return None


def _bmp_shape(data):
    """Return (h, w) of a BMP without compression that holds all its rows."""
    start, header, width, height, _, bits, packing = struct.unpack_from("<IIiiHHI", data.head, 10)
    if header < 40 or packing or bits not in (8, 24, 32) or width <= 0:
        return None
    row = (width * bits + 31) // 32 * 4
    return (abs(height), width) if start + row * abs(height) <= data.size else None


KINDS = {JPEG_START: _jpeg_shape, PNG_START: _png_shape, b"RIFF": _webp_shape, b"BM": _bmp_shape}
