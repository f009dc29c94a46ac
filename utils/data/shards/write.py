"""A data set as WebDataset tars: what make_shards.py does."""

import io
import tarfile
from pathlib import Path

import yaml

from utils.data.config import SPLITS, load_data
from utils.data.labels import Sample
from utils.data.samples import Samples
from utils.data.shards.index import LABEL
from utils.data.shards.options import ShardsOptions
from utils.data.shards.places import located
from utils.data.splits import load_split
from utils.errors import InputError
from utils.files.atomic import folder_beside, naming

DATA = "data.yaml"


def make_shards(options: ShardsOptions) -> None:
    """Write the tars of every split, and a data yaml that names them; say where."""
    if not options.data:
        raise InputError("--data: is missing; give the data yaml of the data set to put into tars")
    config, out = load_data(options.data), Path(options.out)
    if out.exists():
        raise InputError(f"{out}: is there already; give another folder as --out, or remove it")
    splits = {split: load_split(config, split, options.workers)[0] for split in SPLITS if getattr(config, split)}
    with folder_beside(out) as beside, naming(out):
        entries = {split: write_shards(beside, split, samples, options.photos) for split, samples in splits.items()}
        text = yaml.safe_dump({**entries, "names": config.names}, sort_keys=False, allow_unicode=True)
        (beside / DATA).write_text(text, encoding="utf-8")
        beside.rename(out)
    print(f"{sum(map(len, splits.values()))} photos; use them with --data {out / DATA}")


def write_shards(folder: Path, split: str, samples: Samples, photos: int) -> str:
    """Write samples in their order, `photos` in a tar; return the entry of a data yaml that names all the tars."""
    keys: set[str] = set()
    for number, start in enumerate(range(0, len(samples), photos)):
        with tarfile.open(folder / f"{split}-{number:06}.tar", "w", format=tarfile.PAX_FORMAT) as tar:
            for sample in samples[start : start + photos]:
                key = _key(Path(sample.path).stem, keys)
                _add(tar, f"{key}{Path(sample.path).suffix.lower()}", located(sample.path).read())
                _add(tar, f"{key}{LABEL}", label_text(sample).encode())
    last = -(-len(samples) // photos) - 1
    return f"{split}-{{000000..{last:06}}}.tar" if last else f"{split}-000000.tar"


def label_text(sample: Sample) -> str:
    """Return the rows of a YOLO label file that are read as the labels of a sample, to the bit."""
    polygons = sample.segments or [None] * len(sample.labels)
    rows = [
        (int(box[0]), *(box[1:] if polygon is None else polygon.flatten()))
        for box, polygon in zip(sample.labels, polygons, strict=True)
    ]
    return "".join(f"{row[0]} {' '.join(f'{value:.9g}' for value in row[1:])}\n" for row in rows)


def _key(stem, keys):
    """Return a name that no other photo has, without dots, which would end it; it is added to the keys."""
    key = plain = stem.replace(".", "_")
    number = 1
    while key in keys:
        key, number = f"{plain}-{number}", number + 1
    keys.add(key)
    return key


def _add(tar, name, data):
    """Add a file to a tar: its name and its bytes, no date and no owner, so that equal data give equal tars."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
