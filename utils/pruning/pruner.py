"""From a checkpoint to a narrower one: what prune.py does."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.checkpoint import checkpoint_bytes, finished_content, load_checkpoint, write_atomically
from utils.data.config import load_data
from utils.device import select_device
from utils.errors import InputError
from utils.network import compare
from utils.options import option
from utils.paths import find_file, free_name
from utils.pruning.channels import trace_channels
from utils.pruning.costs import ChannelCost
from utils.pruning.importance import gamma_scores
from utils.pruning.rebuild import rebuild
from utils.pruning.report import channel_table, totals, totals_table
from utils.pruning.selection import Limits, largest_share, select
from utils.validation import check_classes, validate


IN_USE = 0.05  # mean |gamma| above which a channel is no longer close to silent


@dataclass
class PruneOptions:
    """Options of prune.py."""

    weights: str = option("runs/train/exp/weights/last.pt", "checkpoint to prune, best after sparse training")
    percent: float = option(0.5, "share of the channels that goes, 0.5 for half", minimum=0, below=1)
    data: str = option("data/coco128.yaml", "data yaml for the validation before and after")
    cfg: str = option("", "model yaml; only compared, the checkpoint decides")
    out: str = option("pruned_model.pt", "file to write")
    imgsz: int = option(640, "image size of validation and GFLOPs in pixels", "--img", "--img-size", minimum=32)
    batch_size: int = option(32, "images in a validation batch", "--batch", minimum=1)
    task: str = option("val", "split to validate on", choices=("train", "val", "test"))
    noval: bool = option(False, "do not validate")
    min_channels: int = option(8, "channels that every layer keeps", minimum=1)
    max_layer_share: float = option(0.7, "largest share of a layer's channels in use that may go; silent ones all may", minimum=0, maximum=1)
    round: int = option(8, "kept widths are multiples of this; 1: any width", minimum=1)
    device: str = option("", "cpu, or the number of a GPU; empty: a GPU if there is one")
    workers: int = option(4, "processes that load images", minimum=0)


@dataclass(frozen=True)
class Cut:
    """A finished cut: both networks, and what was decided."""

    graph: object  # ChannelGraph of the network before
    before: object  # DetectionModel
    after: object  # DetectionModel
    removed: int  # convolution outputs
    prunable: int  # convolution outputs that might have gone
    threshold: float  # largest mean |gamma| among the removed channels
    ceiling: float  # largest share that might have gone


def cut_channels(model, share, limits):
    """Return the Cut that removes `share` of a model's prunable channels, those with the smallest gammas.

    Raises InputError when the limits do not allow the share, or the model has no batch norm left.
    """
    graph = trace_channels(model)
    scores, counts = gamma_scores(model, graph), graph.channel_counts()
    keep = select(scores, counts, share, limits)
    removed = sum(int(counts[name][~mask].sum()) for name, mask in keep.items())
    means = [(scores[name] / counts[name])[~mask] for name, mask in keep.items()]
    threshold = float(max((m.max() for m in means if len(m)), default=0.0))
    ceiling = largest_share(scores, ChannelCost(counts), limits)
    return Cut(graph, model, rebuild(model, graph, keep), removed, graph.prunable_channels(), threshold, ceiling)


def prune_checkpoint(options):
    """Prune as the PruneOptions say: print the report, write the narrower checkpoint; return the Cut. Raises InputError."""
    device = select_device(options.device)
    limits = Limits(options.min_channels, options.max_layer_share, options.round)
    out = Path(options.out)
    if not out.name or out.is_dir():
        raise InputError(f"--out {out}: is a folder; must be the file to write, such as pruned_model.pt")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: the folder {out.parent} does not exist")
    checkpoint = load_checkpoint(find_file(options.weights, "weights", what="weight file"))
    model = checkpoint.ema or checkpoint.model
    if options.cfg:
        compare(model, find_file(options.cfg, "models", "models/hub", what="model yaml"), print)
    config = None if options.noval else load_data(options.data)
    if config:
        check_classes(model, config)
    cut = cut_channels(model, options.percent, limits)
    describe(cut)
    # Validated as they are stored, in FP16, so that val.py on the files sees the same numbers.
    contents = {"before": finished_content(cut.before), "after": finished_content(cut.after)}
    files = {name: checkpoint_bytes(content) for name, content in contents.items()}
    rows = []
    for name, content in contents.items():
        evaluation = config and validate(
            content["model"], config, options.task, device=device, imgsz=options.imgsz, batch_size=options.batch_size,
            workers=options.workers,
        )  # fmt: skip
        rows.append(totals(name, getattr(cut, name), options.imgsz, len(files[name]), evaluation))
    print(totals_table(rows, options.imgsz))
    write_result(out, files["after"])
    print(f"written to {out}; next: python finetune_pruned.py --weights {out} --data {options.data}")
    return cut


def write_result(path, data):
    """Write the bytes of a checkpoint; a file that is there already is renamed, and that is said."""
    kept = free_name(path)
    if kept != path:
        path.rename(kept)
        print(f"{path} existed; the earlier one is kept as {kept}")
    write_atomically(path, data)


def describe(cut):
    """Print what is cut where."""
    print(channel_table(cut.graph, cut.before, cut.after))
    print(f"{cut.removed} of {cut.prunable} channels go ({cut.removed / cut.prunable:.1%}), "
          f"the largest gamma among them is {cut.threshold:.4g}; at most {np.floor(cut.ceiling * 1000) / 10:.1f} % could go")  # fmt: skip
    if cut.threshold > IN_USE:
        print("channels that are in use go with them: expect a low mAP until fine-tuning; train_sparsity.py --st first costs less")
