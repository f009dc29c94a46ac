"""What prune.py does, stage by stage: read a checkpoint, score, select, rebuild, report, write the narrower one."""

import shlex
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from models.cost import count_gflops, count_parameters
from utils.benchmark.latency import milliseconds
from utils.boxes.loss import DetectionLoss
from utils.cli.device import select_device
from utils.data.choice import match_classes
from utils.data.config import label_rules, load_data
from utils.data.splits import require_objects
from utils.errors import InputError, blaming
from utils.files.checkpoint import load_checkpoint, say_differences
from utils.files.downloads import find_weights
from utils.files.hyp import load_hyp
from utils.files.paths import find_file
from utils.pruning.channels.groups import trace_channels
from utils.pruning.channels.rebuild import rebuild
from utils.pruning.choice.costs import ChannelCost, NetworkCost
from utils.pruning.choice.milliseconds import fit_rates
from utils.pruning.choice.search import confirmed, file_megabytes, largest_fitting, smallest_within
from utils.pruning.choice.selection import Limits, largest_share, select_by_cost
from utils.pruning.options import PruneOptions
from utils.pruning.repair.constants import beta_constants, fold, mean_constants, recalibrate
from utils.pruning.repair.least_squares import reconstruct
from utils.pruning.report.sensitivity import DEPTHS, explore
from utils.pruning.report.tables import channel_table, group_table
from utils.pruning.report.write import evaluate_stored, report, write_result
from utils.pruning.scores.calibration import load_calibration
from utils.pruning.scores.criteria import FROM_DATA, score_channels
from utils.pruning.scores.from_data import Evidence
from utils.pruning.scores.parameters import AGGREGATES, gamma_scores
from utils.pruning.structure.stages import drop_silent, drop_some_scales, drop_weakest, keep_some_classes, suggest_head
from utils.validation.measure import check_classes, whole_strides

HYP = "hyp.scratch-low.yaml"  # gains of the loss that criteria take gradients of
MISSED = 0.02  # of what shall stay: a cut that misses its budget by more says so
IN_USE = 0.05  # mean |gamma| above which a channel is no longer close to silent


@dataclass(frozen=True)
class Job:
    """What the stages work on."""

    options: PruneOptions  # --imgsz as the network takes it
    device: object  # torch.device
    model: object  # DetectionModel whose channels are cut, float32, left as it is
    graph: object  # its ChannelGraph
    config: object  # DataConfig with the classes of the model, or None when nothing needs data
    calibration: object  # Calibration, or None when no stage looks at images
    whole: object  # DetectionModel as it was read, with all scales, classes and branches
    reference: object  # the same with the classes of the model, to compare mAP with
    notes: list  # lines that say what went before any channel

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
    """Prune as the PruneOptions say: print the report, write the narrower checkpoint; return the Cut.

    With --show and --suggest-head there is none. Raises InputError.
    """
    options.check()
    if options.suggest_head:
        print(suggest_head(options))
        return None
    out = check_output(options.out)
    job = read(options)
    print(*job.notes, sep="\n", end="\n" if job.notes else "")
    if options.show:
        print(group_table(job.graph, job.model, options.imgsz))
        return None
    scores = score(job)
    print(ceiling_line(job, scores))
    keep = choose(job, scores)
    cut = make_cut(job, keep)
    print(channel_table(cut.graph, cut.before, cut.after))
    print(removal_lines(cut))
    data, findings = report(job, cut, explore(job, scores, deeper_cuts(job, scores)) if options.sensitivity else {})
    if options.dry_run:
        print("dry run: nothing is written")
    else:
        write_result(out, data, findings)
        words = ["--weights", str(out), "--data", options.data, "--imgsz", str(options.imgsz)]
        print(f"next: python finetune_pruned.py {shlex.join(words)}")
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
    """Return the Job of PruneOptions: all that is read, and checked, before anything is done. Raises InputError."""
    device = select_device(options.device)
    cfg = find_file(options.cfg, "models", "models/hub", what="model yaml") if options.cfg else None
    checkpoint = load_checkpoint(find_weights(options.weights), cfg)
    model = checkpoint.ema or checkpoint.model
    if cfg:
        say_differences(model, cfg, print)
    config = (
        None
        if options.show or (options.noval and not options.needs_images)
        else load_data(options.data, label_rules(options))
    )
    if config:
        config = match_classes(config, model.names)  # those that an earlier cut left
        check_classes(model, config)
        if options.max_drop is not None:
            require_objects(config, options.task, "--max-drop")
    options = replace(options, imgsz=whole_strides(options.imgsz, model.size_multiple))
    whole, (reference, notes) = model, keep_some_classes(model, options)
    config = config and match_classes(config, reference.names, say=notes.append)
    model, more = drop_some_scales(reference, options)
    calibration = None
    if options.needs_images and not options.show:
        count, rng = max(options.calib, options.recalibrate), np.random.default_rng(options.seed)
        calibration = load_calibration(config, count, options.imgsz, rng)
        model.to(device)
    model, silent = drop_silent(model)
    weakest = []
    if options.drop_branches and calibration:
        model, weakest = drop_weakest(model, options.drop_branches, calibration, device)
    graph = trace_channels(model)
    graph.protect(options.protect)
    return Job(options, device, model, graph, config, calibration, whole, reference, [*notes, *more, *silent, *weakest])


def score(job):
    """Return {group: [width] what is lost with each channel}."""
    options, evidence = job.options, None
    if options.criterion in FROM_DATA:
        loss = DetectionLoss(job.model, load_hyp(HYP), job.calibration.images.shape[-1])
        evidence = Evidence(job.calibration.first(options.calib), loss, job.device)
    way = options.aggregate or AGGREGATES[0]
    scores = score_channels(job.model, job.graph, options.criterion, way, evidence, job.generator)
    return {name: values**options.power for name, values in scores.items()}


def choose(job, scores):
    """Return the masks {group: bool [width]} that meet the budget; says what a search found, how much it misses."""
    cost, left = budget(job, scores)
    name, value = job.options.budget
    with blaming(f"--{name.replace('_', '-')} {value:g}:"):
        keep = select_by_cost(scores, cost, left, job.limits, job.options.scope)
    got = cost.of(keep) / cost.total
    if abs(got / left - 1) > MISSED:
        print(
            f"{got:.1%} of the {cost.name} stay instead of {left:.1%}: "
            f"as near as steps of {job.limits.multiple} channels come"
        )
    return keep


def budget(job, scores):
    """Return (cost, share of it that stays) of the budget that the options give."""
    o, graph, model = job.options, job.graph, job.model
    name, given = o.budget
    if name == "percent":
        return ChannelCost(graph.channel_counts()), 1 - given
    if name in ("params", "size_mb"):
        cost = NetworkCost.parameters(graph, model)
    elif name == "latency_ms":
        print(f"measuring in {o.runtime} what widths cost in time", flush=True)
        cost = fit_rates(graph, model, o.imgsz, o.runtime, np.random.default_rng(o.seed)).cost(graph, model)
    else:
        cost = NetworkCost.flops(graph, model, o.imgsz)
    if name not in ("flops", "params"):
        return cost, search(job, scores, cost)
    count = count_parameters if name == "params" else count_gflops
    return cost, min(given * count(job.whole) / count(model), 1.0)  # of the network as it was read


def search(job, scores, cost):
    """Return the share of a cost that stays under a budget that must be measured. Raises InputError when none does."""
    o, floor = job.options, 1 - largest_share(scores, cost, job.limits)

    def masks(left):
        return select_by_cost(scores, cost, left, job.limits, o.scope)

    def narrow(left):
        return rebuild(job.model, job.graph, masks(left))

    if o.size_mb is not None:
        return largest_fitting(lambda left: file_megabytes(narrow(left)), o.size_mb, floor, "--size-mb", "MB")
    if o.latency_ms is not None:
        times = partial(milliseconds, image_size=o.imgsz, runtime=o.runtime)
        left = largest_fitting(lambda left: times(narrow(left)), o.latency_ms, floor, "--latency-ms", "ms")
        left, found = confirmed(lambda left: times(narrow(left)), o.latency_ms, left, floor)
        flops = NetworkCost.flops(job.graph, job.model, o.imgsz)
        print(
            f"{found:.1f} ms an image in {o.runtime} at {flops.of(masks(left)) / flops.total:.1%} of the FLOPs, "
            f"{times(job.model):.1f} ms before; asked for {o.latency_ms:g}"
        )
        return left
    whole = evaluate_stored(job, job.reference).map
    return smallest_within(
        lambda left: whole - evaluate_stored(job, make_cut(job, masks(left)).after).map, o.max_drop, floor
    )


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
    return Cut(graph, model, drop_silent(narrow)[0], keep)


def deeper_cuts(job, scores):
    """Return {share of the FLOPs left: network} of cuts of several depths, as far as the limits allow."""
    cost = NetworkCost.flops(job.graph, job.model, job.options.imgsz)
    floor = 1 - largest_share(scores, cost, job.limits)
    masks = {
        f"{left:.0%}": select_by_cost(scores, cost, left, job.limits, job.options.scope)
        for left in DEPTHS
        if left >= floor
    }
    return {name: make_cut(job, keep).after for name, keep in masks.items()}


def ceiling_line(job, scores):
    """Return in words how far a cut could go."""
    shares = {}
    for cost in (ChannelCost(job.graph.channel_counts()), NetworkCost.flops(job.graph, job.model)):
        shares[cost.name] = np.floor(largest_share(scores, cost, job.limits) * 1000) / 10  # never more than what works
    channels, flops = shares["channels"], shares["FLOPs"]
    return f"at most {channels:.1f} % of the channels can go ({flops:.1f} % of the FLOPs), with {job.limits}"


def removal_lines(cut):
    """Return in words how many channels go, and what they were."""
    counts = cut.graph.channel_counts()
    removed = sum(int(counts[name][~mask].sum()) for name, mask in cut.keep.items())
    total = cut.graph.prunable_channels()
    gammas = gamma_scores(cut.before, cut.graph)
    means = [(gammas[name] / counts[name])[~mask] for name, mask in cut.keep.items() if name in gammas]
    largest = float(max((m.max() for m in means if len(m)), default=0.0))
    line = f"{removed} of {total} channels go ({removed / total:.1%})"
    if removed:
        line += f", the largest gamma among them is {largest:.4g}"
    if largest > IN_USE:
        line += (
            "\nchannels in use go too: expect a low mAP until fine-tuning. Less is lost after train_sparsity.py --st,"
            "\nor with --criterion taylor --power 0.5 --compensate lstsq"
        )
    return line
