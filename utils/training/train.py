"""From options to a finished run: what train.py, train_sparsity.py and finetune_pruned.py share."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import torch
import yaml

from models.yolo import DetectionModel
from utils.boxes.anchors import check_anchors
from utils.boxes.loss import DetectionLoss
from utils.data.choice import KEPT_CLASSES, is_single_class, match_classes
from utils.data.loader import QUAD
from utils.errors import InputError
from utils.files.atomic import write_atomically
from utils.files.checkpoint import Checkpoint
from utils.files.paths import RunFolder, new_run
from utils.runtimes.runtimes import folded
from utils.training.checkpoints import CheckpointWriter, restore, resumed_checkpoint
from utils.training.class_balance import ImageWeightsHook
from utils.training.conclusion import conclude
from utils.training.distributed import connected, process_group
from utils.training.faults.interrupts import Interrupts, kept_line
from utils.training.faults.restart import remember, restarted
from utils.training.freezing import FreezeHook, frozen_layers
from utils.training.loaders import scan_splits, training_loader, validation_loader
from utils.training.logs.choice import make_loggers
from utils.training.logs.gamma import GammaRecorder
from utils.training.logs.progress import ProgressHook
from utils.training.logs.results import CsvHook, PictureHook
from utils.training.logs.service import ServiceHook
from utils.training.logs.summary import opening_lines
from utils.training.loop import SMALLEST_STRIDES, Hook, fit, notify, seed_everything
from utils.training.machine.batch_size import fitting_batch
from utils.training.machine.heap import kept_memory
from utils.training.machine.precision import faster_in_bfloat16
from utils.training.optim import NOMINAL_BATCH, ModelEMA, Schedule, build_optimizer, scaled_decay
from utils.training.options import TrainOptions
from utils.training.pace import settle_pace
from utils.training.plan import Plan, make_plan, stored_options
from utils.training.resume import resolve
from utils.training.run import Run, RunSettings
from utils.training.start import keep_inputs, lay_out, starting_network
from utils.validation.evaluate import Evaluation, collect, summarise
from utils.validation.measure import whole_strides
from utils.validation.shares import join, pack

CPU_BATCH = 16  # what --batch-size -1 means without a GPU


def train(
    options: TrainOptions,
    *,
    hooks: Iterable[Hook] = (),
    make_hooks: Callable[..., list[Hook]] | None = None,
    transfer: bool = True,
    keep_classes: bool = False,
    model: DetectionModel | None = None,
    quiet: bool = False,
) -> Run:
    """Train a detector as the options say; the one place where options are resumed and checked.

    Nothing is written before options, files, labels and network have been checked.

    Args:
        options: TrainOptions or a subclass.
        hooks: take part, besides those that record the run.
        make_hooks: callable(options as they apply, say) → more hooks; say takes a line for the user.
        transfer: whether a checkpoint with another number of classes than the data is accepted; its Detect is replaced.
        keep_classes: whether a network that was cut to some of the classes keeps them.
        model: to train in the place of options.weights and options.cfg.
        quiet: show nothing; what is written into the folder of the run stays the same.

    Returns:
        Run; its evaluation is that of the weights to use (in rank 0).

    Raises:
        InputError, SpecError, and TrainingError when numbers stay not finite, whatever is tried.
    """
    plan = make_plan(resolve(restarted(options, process_group())), quiet)
    hooks = [*hooks, *(make_hooks(plan.options, plan.say) if make_hooks else ())]
    torch.backends.cudnn.deterministic = True  # a resumed run must repeat what an uninterrupted one does
    seed_everything(plan.options.seed)
    checkpoint = resumed_checkpoint(plan.options.resume) if plan.options.resume else None
    plan, model = choose_network(plan, checkpoint.model if checkpoint else model, transfer, keep_classes)
    hooks = [FreezeHook(model, frozen_layers(plan.options.freeze, len(model.model))), *hooks]
    hooks += kept_memory(plan.device)
    notify(hooks, "prepare", model)
    plan = fit_sizes(plan, model)
    with connected(plan.processes, plan.device):
        return run_training(plan, model, hooks, checkpoint)


def run_training(plan: Plan, model: DetectionModel, hooks: list[Hook], checkpoint: Checkpoint | None) -> Run:
    """Load the images, train or go on from a Checkpoint, and conclude; return the Run."""
    if checkpoint is None:
        plan = settle_precision(plan, model)
    splits = scan_splits(plan)
    if checkpoint is None:
        plan = settle_pace(plan, len(splits["train"]))
    loader: Any = training_loader(plan, splits["train"], model.size_multiple)
    val_loader = validation_loader(plan, splits["val"], model.size_multiple) if plan.validates else None
    if checkpoint is None and not plan.options.noautoanchor:
        rng = np.random.default_rng(plan.options.seed)
        check_anchors(model, loader.dataset, plan.options.imgsz, plan.hyp["anchor_t"], rng, plan.say, plan.goes_on)
    run = build_run(plan, model, len(loader), run_folder(plan))
    run.measure = partial(measured, plan, loader=val_loader) if plan.validates else None
    recorders = recording_hooks(plan, loader)
    if checkpoint is not None and checkpoint.finished:
        record_finished(plan, run, recorders)
    else:
        if plan.options.image_weights:
            hooks.append(ImageWeightsHook(loader, len(plan.names)))
        hooks += recorders
        if checkpoint is not None:
            restore(run, checkpoint, hooks)
        for line in [
            *opening_lines(run),
            *(line for hook in hooks for line in hook.opening_lines(run, splits["train"])),
        ]:
            plan.say(line)
        plan.say(f"{run.folder.path}: {len(loader.dataset)} training images, epochs {run.epoch} to {run.epochs - 1}")
        train_epochs(plan, run, loader, val_loader, hooks)
    run.evaluation = conclude(plan, run)
    if plan.processes.main:
        for line in (line for hook in hooks for line in hook.closing_lines(run)):
            plan.say(line)
    return run


def train_epochs(plan: Plan, run: Run, loader: Any, val_loader: Any, hooks: list[Hook]) -> None:
    """Do the epochs that are left; say how to go on when that is interrupted."""
    writer = CheckpointWriter(stored_options(plan.options), not plan.options.nosave, plan.options.save_period)
    began, first = time.monotonic(), run.epoch
    interrupts = Interrupts(lambda run: writer.save_part(run, hooks))
    try:
        with interrupts.watching(not plan.processes.distributed):
            fit(run, loader, partial(validate_epoch, plan, val_loader), [*hooks, interrupts], writer)
    except KeyboardInterrupt:
        if run.folder.last in run.written:
            plan.say(f"\n{kept_line(run)} are kept; to go on: --resume {quote(str(run.folder.last))}")
        raise
    plan.say(f"epochs {first} to {run.epoch - 1}: {(time.monotonic() - began) / 3600:.3f} hours")


def record_finished(plan: Plan, run: Run, recorders: list[Hook]) -> None:
    """Draw what a run lacks that was ended between its last epoch and its conclusion."""
    plan.say(f"{run.folder.path}: all epochs are done; the pictures and the last validation follow")
    run.epoch, run.step = run.epochs, run.total_steps
    run.written.update(run.folder.weights.iterdir())
    local = [hook for hook in recorders if not isinstance(hook, ServiceHook)]  # those have had their numbers
    notify(local, "start", run)
    notify(local, "finish", run)


def choose_network(
    plan: Plan, model: DetectionModel | None, transfer: bool, keep_classes: bool
) -> tuple[Plan, DetectionModel]:
    """Return (plan, DetectionModel to train): `model` when one is given, else that of the options.

    For a model that was cut to some of the classes, the data of the plan is what it knows of it. Raises InputError.
    """
    options = plan.options
    if model is None:
        anchors, keep = plan.hyp.get("anchors"), keep_classes or not transfer
        model, known = starting_network(
            options.weights, options.cfg, plan.names, anchors, transfer, keep, options.cfg_decides, plan.say
        )
        plan = replace(plan, goes_on=known and options.goes_on)
    if KEPT_CLASSES in model.yaml or is_single_class(model.names):
        plan = replace(plan, config=match_classes(plan.config, model.names, plan.say))
    if model.nc != len(plan.names):
        raise InputError(f"{plan.config.file}: {len(plan.names)} classes, the model has {model.nc}; they must agree")
    if options.activation:
        model.change_activation(options.activation)
    model.names = dict(plan.names)
    return plan, model


def fit_sizes(plan: Plan, model: DetectionModel) -> Plan:
    """Return the plan with an image size that the strides divide and with a definite batch size."""
    imgsz = whole_strides(plan.options.imgsz, model.size_multiple, SMALLEST_STRIDES, plan.say)
    batch = plan.options.batch_size
    if batch < 0 and plan.device.type == "cuda":
        batch = fitting_batch(model, imgsz, plan.device, plan.amp)
    elif batch < 0:
        batch = CPU_BATCH
    if batch != plan.options.batch_size:
        plan.say(f"--batch-size -1: {batch} images fit")
    return replace(plan, options=replace(plan.options, imgsz=imgsz, batch_size=batch))


def settle_precision(plan: Plan, model: DetectionModel) -> Plan:
    """Return the plan with a definite --amp where it matters on the CPU, for all processes and for a resumed run."""
    options = plan.options
    if options.amp != "auto" or plan.device.type != "cpu":
        return plan
    found = faster_in_bfloat16(model, options.imgsz, plan.local_batch) if plan.processes.main else None
    found = plan.processes.broadcast(found)
    if found is None:
        return plan
    faster, line = found
    plan.say(line)
    return replace(plan, options=replace(options, amp="on" if faster else "off"))


def build_run(plan: Plan, model: DetectionModel, batches: int, folder: RunFolder) -> Run:
    """Return the Run of a model on its device, with optimizer, loss and schedule."""
    options, hyp = plan.options, plan.hyp
    model = lay_out(model, plan.device)
    ema = ModelEMA(model)  # before the batch norms are exchanged: what is saved has the plain ones
    keep_inputs(model)
    if options.sync_bn:
        model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    nominal = options.nominal_batch or NOMINAL_BATCH  # none is stored in runs of earlier versions
    schedule = Schedule.of(hyp, options.epochs, batches, options.batch_size, nominal, options.cos_lr)
    gain = QUAD if options.quad else 1
    settings = RunSettings(options.imgsz, options.seed, plan.amp, options.multi_scale, options.patience, gain)
    decay = scaled_decay(hyp["weight_decay"], options.batch_size, nominal)
    return Run(
        model,
        build_optimizer(model, options.optimizer, hyp["lr0"], hyp["momentum"], decay),
        DetectionLoss(model, hyp, options.imgsz, plan.processes.average),
        schedule,
        folder,
        plan.device,
        settings,
        ema,
        plan.processes,
        say=plan.say,
    )


def run_folder(plan: Plan) -> RunFolder:
    """Return the RunFolder: that of the resumed run, or a new one with options and hyper-parameters written into it."""
    if plan.options.resume:
        return RunFolder(Path(plan.options.resume).resolve().parent.parent)
    with plan.processes.main_first():
        path = new_run(plan.options.project, plan.options.name, plan.options.exist_ok) if plan.processes.main else None
    folder = RunFolder(Path(plan.processes.broadcast(str(path))))
    remember(folder, plan.processes)
    if plan.processes.main:
        for file, content in ((folder.opt_yaml, stored_options(plan.options)), (folder.hyp_yaml, plan.hyp)):
            write_atomically(file, yaml.safe_dump(content, sort_keys=False).encode())
    return folder


def recording_hooks(plan: Any, loader: Any) -> list[Hook]:
    """Return the hooks that record the run: none but in rank 0."""
    if not plan.processes.main:
        return []
    hooks = [CsvHook(), GammaRecorder(draw=not plan.options.noplots)]
    if not plan.quiet:
        hooks.append(ProgressHook())
    if not plan.options.noplots:
        hooks.append(PictureHook(loader.dataset.labels, plan.names))
    settings = stored_options(plan.options) | plan.hyp
    return hooks + make_loggers(plan.options.logger, settings, not plan.options.noplots, plan.say)


def measured(plan: Plan, model: DetectionModel, loader: Any, **options: Any) -> Evaluation | None:
    """Return the Evaluation of rank 0's model on the validation images in rank 0, None in the others.

    Every process calls it with a model of the same layers and looks at its share of the images.
    """
    processes = plan.processes
    processes.align(model, plan.device)
    found = collect(
        folded(model, plan.device),
        loader,
        device=plan.device,
        names=plan.names,
        single_cls=plan.options.single_cls,
        half=plan.amp is torch.float16,
        progress=False,
        share=(processes.rank, processes.world_size),
        **options,
    )
    shares = processes.gather(pack(found))
    return None if shares is None else summarise(join(shares), plan.names)


def validate_epoch(plan: Plan, loader: Any, run: Run) -> Any:
    """Return the Evaluation of the moving average after an epoch, or None when --noval or the data skips it."""
    due = plan.validates and not (plan.options.noval and not run.last_epoch)
    if not plan.processes.broadcast(due):  # rank 0 alone may know that the epoch is the last one
        return None
    loss = DetectionLoss(run.ema.model, plan.hyp, plan.options.imgsz)  # run.loss would wait for the other processes
    return measured(plan, run.ema.model, loader, loss=loss)
