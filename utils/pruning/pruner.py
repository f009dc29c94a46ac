"""From a checkpoint to a narrower one: what prune.py does, stage by stage: read, score, select, rebuild, report, write."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from utils.checkpoint import checkpoint_bytes, finished_content, load_checkpoint, write_atomically
from utils.data.config import load_data
from utils.device import select_device
from utils.downloads import find_weights
from utils.errors import InputError
from utils.hyp import load_hyp
from utils.loss import DetectionLoss
from utils.network import compare
from utils.paths import find_file, free_name
from utils.pruning.budgets import confirmed, file_megabytes, largest_fitting, milliseconds, smallest_within
from utils.pruning.calibration import load_calibration
from utils.pruning.channels import trace_channels
from utils.pruning.compensation import beta_constants, fold, mean_constants, recalibrate
from utils.pruning.costs import ChannelCost, NetworkCost
from utils.pruning.criteria import FROM_DATA, score_channels
from utils.pruning.criteria_data import Evidence
from utils.pruning.importance import AGGREGATES, gamma_scores
from utils.pruning.options import PruneOptions
from utils.pruning.rebuild import rebuild
from utils.pruning.reconstruction import reconstruct
from utils.pruning.report import channel_table, group_table, totals, totals_table
from utils.pruning.selection import Limits, largest_share, select_by_cost
from utils.validation import check_classes, validate, whole_strides

HYP = "hyp.scratch-low.yaml"  # gains of the loss that criteria take gradients of
IN_USE = 0.05  # mean |gamma| above which a channel is no longer close to silent


@dataclass(frozen=True)
class Job:
    """What the stages work on."""

    options: PruneOptions
    device: object  # torch.device
    model: object  # DetectionModel, float32, on the CPU, left as it is
    graph: object  # its ChannelGraph
    config: object  # DataConfig, or None when nothing needs data
    calibration: object  # Calibration, or None when no stage looks at images

    @property
    def generator(self):
        """A torch.Generator that starts at --seed."""
        return torch.Generator().manual_seed(self.options.seed)

    @property
    def limits(self):
        """Limits of the selection."""
        o = self.options
        return Limits(o.min_channels, o.max_layer_share, o.round, o.std_guard)


@dataclass(frozen=True)
class Cut:
    """A finished cut: both networks, and what was decided."""

    graph: object  # ChannelGraph of the network before
    before: object  # DetectionModel
    after: object  # DetectionModel
    keep: dict  # {group: bool [width]}


def prune_checkpoint(options):
    """Prune as the PruneOptions say: print the report, write the narrower checkpoint; return the Cut (None with --show).

    Raises InputError.
    """
    options.check()
    out = check_output(options.out)
    job = read(options)
    if options.show:
        print(group_table(job.graph, job.model, options.imgsz))
        return None
    scores = score(job)
    print(ceiling_line(job, scores))
    keep = choose(job, scores)
    cut = make_cut(job, keep)
    print(channel_table(cut.graph, cut.before, cut.after))
    print(removal_lines(cut))
    data = report(job, cut)
    if options.dry_run:
        print("dry run: nothing is written")
    else:
        write_result(out, data)
        print(f"written to {out}; next: python finetune_pruned.py --weights {out} --data {options.data}")
    return cut


def check_output(name):
    """Return --out as a Path. Raises InputError when it cannot be written."""
    out = Path(name)
    if not out.name or out.is_dir():
        raise InputError(f"--out {out}: is a folder; must be the file to write, such as pruned_model.pt")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: the folder {out.parent} does not exist")
    return out


def read(options):
    """Return the Job of PruneOptions: everything that is read, and checked, before anything is done. Raises InputError."""
    device = select_device(options.device)
    checkpoint = load_checkpoint(find_weights(options.weights))
    model = checkpoint.ema or checkpoint.model
    if options.cfg:
        compare(model, find_file(options.cfg, "models", "models/hub", what="model yaml"), print)
    config = None if options.show or (options.noval and not options.needs_images) else load_data(options.data)
    if config:
        check_classes(model, config)
    graph = trace_channels(model)
    graph.protect(options.protect)
    if options.show or not options.needs_images:
        return Job(options, device, model, graph, config, None)
    count, imgsz = max(options.calib, options.recalibrate), whole_strides(options.imgsz, model.size_multiple)
    calibration = load_calibration(config, count, imgsz, np.random.default_rng(options.seed))
    return Job(options, device, model.to(device), graph, config, calibration)


def score(job):
    """Return {group: [width] what is lost with each channel}."""
    options, evidence = job.options, None
    if options.criterion in FROM_DATA:
        loss = DetectionLoss(job.model, load_hyp(HYP), job.calibration.images.shape[-1])
        evidence = Evidence(job.calibration.first(options.calib), loss, job.device)
    way = options.aggregate or AGGREGATES[0]
    return score_channels(job.model, job.graph, options.criterion, way, evidence, job.generator)


def choose(job, scores):
    """Return the masks {group: bool [width]} that meet the budget; says what a search found and what misses by more than 2 %."""
    cost, left = budget(job, scores)
    keep = select_by_cost(scores, cost, left, job.limits, job.options.scope)
    got = cost.of(keep) / cost.total
    if abs(got / left - 1) > 0.02:
        print(f"{got:.1%} of the {cost.name} stay instead of {left:.1%}: as near as steps of {job.limits.multiple} channels come")
    return keep


def budget(job, scores):
    """Return (cost, share of it that stays) of the budget that the options give."""
    o, graph, model = job.options, job.graph, job.model
    if o.percent is not None:
        return ChannelCost(graph.channel_counts()), 1 - o.percent
    if o.params is not None or o.size_mb is not None:
        cost = NetworkCost.parameters(graph, model)
    else:
        cost = NetworkCost.flops(graph, model, o.imgsz)
    given = o.flops if o.params is None else o.params
    return cost, given if given is not None else search(job, scores, cost)


def search(job, scores, cost):
    """Return the share of a cost that stays under a budget that has to be measured. Raises InputError when none does."""
    o, floor = job.options, 1 - largest_share(scores, cost, job.limits)

    def masks(left):
        return select_by_cost(scores, cost, left, job.limits, o.scope)

    def narrow(left):
        return rebuild(job.model, job.graph, masks(left))

    if o.size_mb is not None:
        return largest_fitting(lambda left: file_megabytes(narrow(left)), o.size_mb, floor, "--size-mb", "MB")
    if o.latency_ms is not None:
        imgsz = whole_strides(o.imgsz, job.model.size_multiple)
        times = partial(milliseconds, image_size=imgsz, runtime=o.runtime)
        left = largest_fitting(lambda left: times(narrow(left)), o.latency_ms, floor, "--latency-ms", "ms")
        left, found = confirmed(lambda left: times(narrow(left)), o.latency_ms, left, floor)
        print(f"{found:.1f} ms an image in {o.runtime} at {left:.1%} of the FLOPs, {times(job.model):.1f} ms before; asked for {o.latency_ms:g}")
        return left
    whole = evaluate_stored(job, job.model)[1].map
    return smallest_within(lambda left: whole - evaluate_stored(job, make_cut(job, masks(left)).after)[1].map, o.max_drop, floor)


def make_cut(job, keep):
    """Return the Cut of masks: the rebuilt network, compensated as the options say."""
    options, model, graph = job.options, job.model, job.graph
    narrow = rebuild(model, graph, keep)
    images = job.calibration.first(options.calib) if job.calibration else None
    if options.compensate == "beta":
        fold(narrow, model, graph, keep, beta_constants(model, graph, keep))
    elif options.compensate == "mean":
        fold(narrow, model, graph, keep, mean_constants(model, graph, images, job.device))
    elif options.compensate == "lstsq":
        reconstruct(narrow, model, graph, keep, images, job.device, job.generator)
    if options.recalibrate:
        recalibrate(narrow, job.calibration.first(options.recalibrate), job.device)
    return Cut(graph, model, narrow, keep)


def ceiling_line(job, scores):
    """Return in words how far a cut could go."""
    shares = {}
    for cost in (ChannelCost(job.graph.channel_counts()), NetworkCost.flops(job.graph, job.model)):
        shares[cost.name] = np.floor(largest_share(scores, cost, job.limits) * 1000) / 10  # never more than what works
    return f"at most {shares['channels']:.1f} % of the channels can go ({shares['FLOPs']:.1f} % of the FLOPs), with {job.limits}"


def removal_lines(cut):
    """Return in words how many channels go, and what they were."""
    counts = cut.graph.channel_counts()
    removed = sum(int(counts[name][~mask].sum()) for name, mask in cut.keep.items())
    total = cut.graph.prunable_channels()
    gammas = gamma_scores(cut.before, cut.graph)
    means = [(gammas[name] / counts[name])[~mask] for name, mask in cut.keep.items() if name in gammas]
    largest = float(max((m.max() for m in means if len(m)), default=0.0))
    line = f"{removed} of {total} channels go ({removed / total:.1%}), the largest gamma among them is {largest:.4g}"
    if largest > IN_USE:
        line += ("\nchannels that are in use go with them: expect a low mAP until fine-tuning; "
                 "train_sparsity.py --st first costs less")  # fmt: skip
    return line


def evaluate_stored(job, model):
    """Return (bytes of the checkpoint of a model, its Evaluation as it is stored, in FP16; None with --noval)."""
    options, content = job.options, finished_content(model)
    evaluation = None if options.noval else validate(
        content["model"], job.config, options.task, device=job.device, imgsz=options.imgsz,
        batch_size=options.batch_size, workers=options.workers,
    )  # fmt: skip
    return checkpoint_bytes(content), evaluation


def report(job, cut):
    """Validate and compare both networks, print the totals; return the bytes of the narrower checkpoint."""
    rows = []
    for name, model in (("before", cut.before), ("after", cut.after)):
        data, evaluation = evaluate_stored(job, model)
        rows.append(totals(name, model, job.options.imgsz, len(data), evaluation))
    print(totals_table(rows, job.options.imgsz))
    return data


def write_result(path, data):
    """Write the bytes of a checkpoint; a file that is there already is renamed, and that is said."""
    kept = free_name(path)
    if kept != path:
        path.rename(kept)
        print(f"{path} existed; the earlier one is kept as {kept}")
    write_atomically(path, data)
