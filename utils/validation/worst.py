"""The photos that a cut network gets wrong and the one before the cut does not: the worst as lines and as a picture."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.yolo import DetectionModel
from utils.data.config import DataConfig
from utils.data.dataset import DetectionDataset
from utils.data.images import read_image
from utils.data.loader import make_loader
from utils.data.samples import Samples
from utils.data.splits import load_split
from utils.errors import InputError
from utils.files.atomic import write_atomically
from utils.files.paths import distinct_names, valid_text
from utils.pictures.drawing import SHOWN_CONF
from utils.pictures.pairs import Mark, Panel, Row, as_jpeg, draw_pairs
from utils.runtimes.runtimes import folded
from utils.validation.evaluate import collect
from utils.validation.measure import PAD, check_classes, evaluated_names
from utils.validation.mistakes import IOU, Judge, Judged, Mistake, mistakes

SHOWN = 10
MANY = 5000  # photos; of more, a part is looked at
PART = 1000
BATCH = 32
WORST = "worst.jpg"
ROLES = ("dense", "cut")
RULE = f"confidence {SHOWN_CONF:g}, IoU {IOU:g}"


@dataclass(frozen=True)
class Worst:
    """The photos that got worse: lines of text, and the picture as the bytes of a JPEG file, None when no photo did."""

    lines: list[str]
    picture: bytes | None = None

    def write(self, file: Path) -> list[str]:
        """Write the picture if there is one; return the lines, the last of which then says where it is.

        Raises InputError.
        """
        if self.picture is None:
            return self.lines
        write_atomically(file, self.picture, durable=False)
        return [*self.lines, f"  picture: {valid_text(file)}"]


def worst_lines(file: Path, compare: Callable[[], Worst]) -> list[str]:
    """Write the picture of what `compare` finds; return its lines, or one line whatever goes wrong.

    It ends a run that may have taken days, and nothing depends on it.
    """
    try:
        return compare().write(file)
    except Exception as error:
        reason = str(error).splitlines()[0] if isinstance(error, InputError) else repr(error)
        return [f"worst photos: they could not be shown: {reason}"]


def compare_networks(
    before: DetectionModel,
    after: DetectionModel,
    config: DataConfig,
    *,
    device: torch.device,
    imgsz: int,
    workers: int = 0,
    single_cls: bool = False,
    roles: tuple[str, str] = ROLES,
) -> Worst:
    """Return the Worst photos of the val split for two DetectionModels, left as they are; 1,000 if it has over 5,000.

    Args:
        before, after: with the classes of the data.
        config: DataConfig.
        imgsz: longest side of the photos in pixels, a multiple of both strides.
        roles: what lines and picture call the two.

    Raises InputError when the classes differ or the split has no usable images.
    """
    networks = before, after
    if not single_cls:
        for network in networks:
            check_classes(network, config)
    samples, note = some_of(load_split(config, "val", max(workers, 1), progress=False)[0])
    stride = max(network.size_multiple for network in networks)
    dataset = DetectionDataset(
        samples, imgsz, rect=True, batch_size=BATCH, stride=stride, pad=PAD, single_cls=single_cls, progress=False
    )
    loader, names = make_loader(dataset, BATCH, workers), evaluated_names(config, single_cls)
    judges = Judge(), Judge()
    for network, judge in zip(networks, judges):
        settings: Any = {"device": device, "single_cls": single_cls, "progress": False, "conf": SHOWN_CONF}
        collect(folded(network, device), loader, names=names, observer=judge, **settings)
    return worst(judges[0].photos, judges[1].photos, names, roles, note)


def some_of(samples: Samples, many: int = MANY, part: int = PART) -> tuple[Samples, str]:
    """Return (Samples, what was left out in words): `part` of them, always the same, when they are more than `many`."""
    if len(samples) <= many:
        return samples, ""
    chosen = np.sort(np.random.default_rng(0).choice(len(samples), part, replace=False))
    return samples.take(chosen), f", drawn from {len(samples):,}"


def worst(
    before: Mapping[str, Judged],
    after: Mapping[str, Judged],
    names: Mapping[int, str],
    roles: tuple[str, str] = ROLES,
    note: str = "",
) -> Worst:
    """Return the Worst of photos {path: Judged} as two detectors saw them.

    names: class index → name; note: follows the number of photos.
    """
    found = mistakes(before, after)
    looked = f"{len(after):,} photo{'s' * (len(after) != 1)}{note} ({RULE})"
    better = mistakes(after, before)
    gains = [f"  better on {len(better):,}: {changes(better, 'found', 'gone')}"] if better else []
    if not found:
        line = f"worst photos: the {roles[1]} network has all that the {roles[0]} network has, on {looked}"
        return Worst([line, *gains])
    worse = f"the {roles[1]} network is worse than the {roles[0]} network on {len(found):,} of {looked}"
    head = f"{worse}: {changes(found, 'lost', 'gained')}"
    shown = found[:SHOWN]
    titles = distinct_names(each.path for each in shown)
    lines = [f"worst photos: {head}", *gains, *table(shown, titles, roles)]
    return Worst(lines, picture(shown, titles, names, roles, head))


def changes(found: Sequence[Mistake], labels: str, false: str) -> str:
    """Return how many labels and false positives some photos are about; labels, false: what has become of them."""
    lost, gained = (sum(int(getattr(each, kind).sum()) for each in found) for kind in ("lost", "gained"))
    return f"{counted(lost, 'label')} {labels}, {counted(gained, 'false positive')} {false}"


def counted(count: int, what: str) -> str:
    """Return "1 label", "2 labels" and so on."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def table(shown: Sequence[Mistake], titles: Mapping[str, str], roles: tuple[str, str]) -> list[str]:
    """Return aligned lines of some photos: labels, and of each network the labels found and the false positives."""
    names = [valid_text(titles[each.path]) for each in shown]
    wide = max(map(len, ["photo", *names]))
    heads = [f"{role} {what}" for role in roles for what in ("found", "false")]
    lines = [f"  {'photo':<{wide}}  labels  " + "  ".join(heads)]
    for name, each in zip(names, shown):
        values = [
            value for judged in (each.before, each.after) for value in (int(judged.found.sum()), len(judged.false))
        ]
        cells = "  ".join(f"{value:>{len(head)}}" for head, value in zip(heads, values))
        lines.append(f"  {name:<{wide}}  {len(each.before.labels):>6}  {cells}")
    return lines


def picture(
    shown: Sequence[Mistake], titles: Mapping[str, str], names: Mapping[int, str], roles: tuple[str, str], head: str
) -> bytes | None:
    """Return the picture of some photos, two panels each, as a JPEG; None when none of them can be read any more."""
    rows = []
    for number, each in enumerate(shown, 1):
        image = read_image(each.path)
        if image is not None:
            title = f"{number}. {titles[each.path]}: {counted(len(each.before.labels), 'label')}"
            rows.append(Row(title, image, (panel_before(each, names, roles[0]), panel_after(each, names, roles[1]))))
    legend = [
        ("label", "label"),
        ("found", f"only {roles[0]} finds it"),
        ("lost", "lost"),
        ("false", "new false positive"),
        ("known", f"false positive of {roles[0]}"),
    ]
    return as_jpeg(draw_pairs(head[0].upper() + head[1:], legend, rows)) if rows else None


def panel_before(each: Mistake, names: Mapping[int, str], role: str) -> Panel:
    """Return the Panel of the first network: what it found and the second did not has the score."""
    marks = [*label_marks(each.before), *(Mark("known", box) for box in each.before.false[:, :4].tolist())]
    for (kind, *box), score in zip(each.before.labels[each.lost].tolist(), each.before.scores[each.lost].tolist()):
        marks.append(Mark("found", box, f"{names[int(kind)]} {score:.2f}"))
    return Panel(f"{role}: {len_found(each.before)} found, {len(each.before.false)} false", marks)


def panel_after(each: Mistake, names: Mapping[int, str], role: str) -> Panel:
    """Return the Panel of the second network: what it lost and what is newly false has a text."""
    marks = [*label_marks(each.after), *(Mark("known", box) for box in each.after.false[~each.gained, :4].tolist())]
    for kind, *box in each.after.labels[each.lost].tolist():
        marks.append(Mark("lost", box, names[int(kind)]))
    for *box, score, kind in each.after.false[each.gained].tolist():
        marks.append(Mark("false", box, f"{names[int(kind)]} {score:.2f}"))
    lost, gained = int(each.lost.sum()), int(each.gained.sum())
    counts = f"{len_found(each.after)} found ({lost} lost), {len(each.after.false)} false ({gained} new)"
    return Panel(f"{role}: {counts}", marks)


def label_marks(judged: Judged) -> list[Mark]:
    """Return a thin Mark for every label."""
    return [Mark("label", box) for box in judged.labels[:, 1:].tolist()]


def len_found(judged: Judged) -> int:
    """Return how many labels were found."""
    return int(judged.found.sum())
