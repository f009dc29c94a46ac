"""Pascal VOC xml: one file an image, boxes in pixels. Format: host.robots.ox.ac.uk/pascal/VOC/voc2012."""

import math
from collections import Counter
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from utils.data.formats.frames import Frame
from utils.data.labels import Objects, Problem, gather

LARGEST = 16 << 20  # bytes of a file; real ones have a few thousand
CORNERS = "xmin", "ymin", "xmax", "ymax"


def read_voc_file(path: Path, image: Path, shape: tuple[int, int], names: dict, difficult: bool = False) -> Objects:
    """Return the Objects of an xml file; names: class index → name.

    Args:
        path: the xml file.
        image: the photo that it belongs to.
        shape: (h, w) of that photo, upright.
        names: class index → name; blanks around a name and its case do not matter.
        difficult: keep the objects that are marked so; otherwise they are counted and left out.

    Its problems are xml that is none, boxes that are none, names that are not among `names`, and a size that is not
    the photo's.
    """
    try:
        root = parse_xml(path)
        frame = Frame.of(_size(root), image, shape)
    except (expat.ExpatError, ValueError) as error:
        return gather([], Counter(), [Problem(str(path), "that are no VOC xml", str(error))])
    index = {name.strip().casefold(): number for number, name in names.items()}
    index |= {name: number for number, name in names.items()}  # where names differ in their case alone
    rows, counts, problems = [], Counter(turned=frame.turned), []
    for number, node in enumerate(root.findall("object"), 1):
        name, box = (node.findtext("name") or "").strip(), _box(node)
        category = index.get(name, index.get(name.casefold()))
        if category is None:
            text = f"object {number}: name {name!r} is not among the names of the data yaml"
            problems.append(Problem(str(path), "of another class", text))
        elif box is None:
            text = f"object {number}: bndbox must have numbers {', '.join(CORNERS)}, the last two not below the first"
            problems.append(Problem(str(path), "with other values", text))
        elif not difficult and (node.findtext("difficult") or "0").strip() == "1":
            counts["difficult"] += 1
        else:
            rows.append((float(category), *frame.row(box, counts)))
    return gather(rows, counts, problems)


def parse_xml(path: Path) -> Element:
    """Return the root of an xml file. Raises ValueError or expat.ExpatError for what is none or declares entities."""
    data = Path(path).read_bytes()
    if len(data) > LARGEST:
        raise ValueError(f"{len(data)} bytes; at most {LARGEST} are read")
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = builder.data, _refuse
    parser.Parse(data, True)
    return builder.close()


def _refuse(*_):
    """Refuse a document type: entities are declared there, which grow or read other files."""
    raise ValueError("a document type is declared; label files need none")


def _size(root):
    """Return (height, width) as the file has it, or None."""
    words = [root.findtext(f"size/{side}") or "" for side in ("height", "width")]
    sizes = [int(word) for word in words if word.strip().isdecimal() and len(word) < 10]
    return tuple(sizes) if len(sizes) == 2 and min(sizes) > 0 else None


def _box(node):
    """Return (x1, y1, x2, y2) in pixels of an object, or None."""
    try:
        box = [float(node.findtext(f"bndbox/{corner}") or "") for corner in CORNERS]
    except ValueError:
        return None
    return box if all(map(math.isfinite, box)) and box[0] <= box[2] and box[1] <= box[3] else None
