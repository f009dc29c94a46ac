"""From options to a finished run: what train.py, train_sparsity.py and finetune_pruned.py share."""

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import torch
import yaml

from models.spec import make_activation
from models.yolo import DetectionModel
from utils.boxes.anchors import check_anchors
from utils.boxes.loss import DetectionLoss
from utils.cli.device import select_device
from utils.cli.options import check, option
from utils.data.choice import KEPT_CLASSES, match_classes
from utils.data.config import DataConfig, label_rules, load_data
from utils.data.loader import QUAD
from utils.errors import InputError
from utils.files.atomic import write_atomically
from utils.files.checkpoint import load_checkpoint
from utils.files.hyp import load_hyp
from utils.files.paths import RunFolder, new_run
from utils.pictures.drawing import BatchPainter
from utils.pictures.plots import plot_evaluation
from utils.training.batch_size import fitting_batch
from utils.training.checkpoints import CheckpointWriter, restore, unfinished_checkpoint
from utils.training.class_balance import ImageWeightsHook
from utils.training.distributed import ProcessGroup, connected, process_group
from utils.training.freezing import FreezeHook, frozen_layers
from utils.training.gamma_log import GammaRecorder
from utils.training.loaders import make_loaders
from utils.training.logs import CsvHook, PictureHook, ProgressHook, TensorBoardHook, summary_writer
from utils.training.loop import SMALLEST_STRIDES, Hook, Run, RunSettings, fit, notify, seed_everything
from utils.training.optim import OPTIMIZERS, ModelEMA, Schedule, build_optimizer, scaled_decay
from utils.training.resume import NEWEST, resolve
from utils.training.start import lay_out, starting_network
from utils.validation.evaluate import format_table
from utils.validation.measure import measure
from utils.validation.val import FEW_CLASSES

LARGEST_SEED = 2**32 - 1
CPU_BATCH = 16  # what --batch-size -1 means without a GPU


@dataclass
class TrainOptions:
    """Options of train.py; other training scripts add their own."""

    weights: str = option("yolov5s.pt", "checkpoint to start from; '' to start from --cfg")
    cfg: str = option("", "model yaml, for a start without weights or from tensors alone")
    data: str = option("data/coco128.yaml", "data yaml, by path or by name in data/")
    skip_bad_labels: bool = option(False, "leave out label rows that cannot be read, instead of stopping")
    accept_conf: bool = option(
        False, "accept label rows that end with a confidence, as --save-txt --save-conf writes them; it is not used"
    )
    hyp: str = option("data/hyps/hyp.scratch-low.yaml", "hyper-parameter yaml, by path or by name in data/hyps/")
    epochs: int = option(100, "passes over the training images", minimum=1)
    batch_size: int = option(16, "images in a batch, all processes together; -1: what fits", "--batch", minimum=-1)
    imgsz: int = option(640, "longest side of the images in pixels", "--img", "--img-size", minimum=32)
    rect: bool = option(False, "train on batches of one shape each instead of mosaics")
    resume: str = option("", "continue a run: its last.pt, or nothing for the newest", nargs="?", const=NEWEST)
    nosave: bool = option(False, "write checkpoints only after the last epoch")
    noval: bool = option(False, "validate only after the last epoch")
    noautoanchor: bool = option(False, "keep the anchors even if they do not fit the labels")
    noplots: bool = option(False, "draw no pictures")
    cache: str | None = option(
        None, "keep images in memory or beside their files", nargs="?", const="ram", choices=("ram", "disk")
    )
    image_weights: bool = option(False, "draw images with rare and badly detected classes more often")
    device: str = option("", "cpu, or the number of a GPU; empty: a GPU if there is one")
    multi_scale: bool = option(False, "vary the image size by a half up and down")
    activation: str = option("", "give the network another activation, such as nn.ReLU: quicker, most of all in INT8")
    single_cls: bool = option(False, "treat all classes as one")
    optimizer: str = option("SGD", "optimizer", choices=OPTIMIZERS)
    sync_bn: bool = option(False, "batch norm statistics over all GPUs")
    workers: int = option(8, "processes that load images, for each training process", minimum=0)
    project: str = option("runs/train", "folder of the runs")
    name: str = option("exp", "folder of this run")
    exist_ok: bool = option(False, "write into the run's folder even if it exists")
    quad: bool = option(False, "join four images, or enlarge one, to batches a quarter as large at twice --imgsz")
    cos_lr: bool = option(False, "let the learning rate fall as a cosine instead of a line")
    label_smoothing: float = option(0.0, "how far class targets stay from 0 and 1", minimum=0, below=1)
    patience: int = option(100, "epochs without improvement after which training stops; 0: never", minimum=0)
    freeze: list[int] = option([0], "layers to keep as they are: 10 = first ten, 0 3 5 = those", nargs="+", minimum=0)
    save_period: int = option(-1, "keep a checkpoint every so many epochs; -1: none", minimum=-1)
    seed: int = option(0, "start of all random numbers", minimum=0, maximum=LARGEST_SEED)
    amp: str = option("auto", "mixed precision; auto: on GPUs only", choices=("auto", "on", "off"))

    def check(self) -> None:
        """Raise InputError or SpecError for values that are wrong alone or exclude each other."""
        check(self)
        if self.batch_size == 0:
            raise InputError("--batch-size 0: must be at least 1, or -1 for what fits")
        if self.rect and self.image_weights:
            raise InputError("--rect and --image-weights exclude each other: rectangular batches are fixed")
        if self.activation:
            make_activation(self.activation, "--activation")


@dataclass(frozen=True)
class Plan:
    """What is known of a run before any image is read."""

    options: TrainOptions
    hyp: dict
    config: DataConfig
    processes: ProcessGroup
    device: torch.device
    quiet: bool = False

    @property
    def names(self) -> dict[int, str]:
        """Class index → name, as the model will have it."""
        return {0: "item"} if self.options.single_cls and self.config.nc > 1 else self.config.names

    @property
    def local_batch(self) -> int:
        """Images in a batch of one process."""
        return self.options.batch_size // self.processes.world_size

    @property
    def amp(self) -> torch.dtype | None:
        """Type of mixed precision, or None."""
        on_gpu = self.device.type == "cuda"
        if self.options.amp == "off" or (self.options.amp == "auto" and not on_gpu):
            return None
        return torch.float16 if on_gpu else torch.bfloat16

    def say(self, line: str) -> None:
        """Print a line, once for all processes."""
        if self.processes.main and not self.quiet:
            print(line, flush=True)


def train(
    options: TrainOptions,
    *,
    hooks: Sequence[Hook] = (),
    transfer: bool = True,
    model: DetectionModel | None = None,
    quiet: bool = False,
) -> Run:
    """Train a detector as the options say.

    Nothing is written before options, files, labels and network have been checked.

    Args:
        options: TrainOptions or a subclass; resolve(options) is applied.
        hooks: Hook instances that take part, besides those that record the run.
        transfer: whether a checkpoint with another number of classes than the data is accepted; its Detect is replaced.
        model: DetectionModel to train in place of options.weights and options.cfg.
        quiet: show nothing; what is written into the folder of the run stays the same.

    Returns:
        Run; its evaluation is that of the weights to use (in rank 0).

    Raises:
        InputError, SpecError, and TrainingError when the loss is not finite.
    """
    plan = replace(make_plan(resolve(options)), quiet=quiet)
    torch.backends.cudnn.deterministic = True  # a resumed run must repeat what an uninterrupted one does
    seed_everything(plan.options.seed)
    checkpoint = unfinished_checkpoint(plan.options.resume) if plan.options.resume else None
    plan, model = choose_network(plan, checkpoint.model if checkpoint is not None else model, transfer)
    freeze = FreezeHook(model, frozen_layers(plan.options.freeze, len(model.model)))
    notify(hooks, "prepare", model)
    plan = fit_sizes(plan, model)
    with connected(plan.processes, plan.device):
        loader, val_loader = make_loaders(plan, model.size_multiple)
        if checkpoint is None and not plan.options.noautoanchor:
            rng = np.random.default_rng(plan.options.seed)
            check_anchors(model, loader.dataset, plan.options.imgsz, plan.hyp["anchor_t"], rng, plan.say)
        run = build_run(plan, model, len(loader), run_folder(plan))
        run.measure = partial(measured, plan, loader=val_loader)
        hooks = [freeze, *hooks, *standard_hooks(plan, loader)]
        if checkpoint is not None:
            restore(run, checkpoint, hooks)
        plan.say(f"{run.folder.path}: {len(loader.dataset)} training images, epochs {run.epoch} to {run.epochs - 1}")
        writer = CheckpointWriter(stored_options(plan.options), not plan.options.nosave, plan.options.save_period)
        try:
            fit(run, loader, partial(validate_epoch, plan, val_loader), hooks, writer)
        except KeyboardInterrupt:
            if run.folder.last in run.written:
                plan.say(f"\nepochs 0 to {run.epoch - 1} are kept; to go on: --resume {quote(str(run.folder.last))}")
            raise
        if plan.processes.main:
            run.evaluation = conclude(plan, run, val_loader)
    return run


def make_plan(options: TrainOptions) -> Plan:
    """Check options and read the files they name. Raises InputError."""
    options.check()
    processes = process_group()
    device = select_device(options.device)
    if processes.distributed and device.type == "cuda":
        device = select_device(str(processes.local_rank))
    if options.batch_size > 0 and options.batch_size % processes.world_size:
        raise InputError(
            f"--batch-size {options.batch_size}: must be a multiple of the {processes.world_size} processes"
        )
    if options.batch_size < 0 and processes.distributed:
        raise InputError("--batch-size -1: give a number when training with many processes")
    if options.sync_bn and not (processes.distributed and device.type == "cuda"):
        raise InputError("--sync-bn: needs many processes with a GPU each; start with torchrun")
    hyp = load_hyp(options.hyp) | {"label_smoothing": options.label_smoothing}
    return Plan(options, hyp, load_data(options.data, label_rules(options)), processes, device)


def choose_network(plan: Plan, model: DetectionModel | None, transfer: bool) -> tuple[Plan, DetectionModel]:
    """Return (plan, DetectionModel to train): `model` when one is given, else that of the options.

    For a model that was cut to some of the classes, the data of the plan is what it knows of it. Raises InputError.
    """
    options = plan.options
    if model is None:
        model = starting_network(options.weights, options.cfg, plan.names, plan.hyp.get("anchors"), transfer, plan.say)
    if KEPT_CLASSES in model.yaml:
        plan = replace(plan, config=match_classes(plan.config, model.names, plan.say))
    if model.nc != len(plan.names):
        raise InputError(f"{plan.config.file}: {len(plan.names)} classes, the model has {model.nc}; they must agree")
    if options.activation:
        model.change_activation(options.activation)
    model.names = dict(plan.names)
    return plan, model


def fit_sizes(plan: Plan, model: DetectionModel) -> Plan:
    """Return the plan with an image size that the strides divide and with a definite batch size."""
    stride = model.size_multiple
    imgsz = max(math.ceil(plan.options.imgsz / stride), SMALLEST_STRIDES) * stride
    if imgsz != plan.options.imgsz:
        plan.say(f"--imgsz {plan.options.imgsz}: must be a multiple of {stride}, {imgsz} is used")
    batch = plan.options.batch_size
    if batch < 0:
        batch = fitting_batch(model, imgsz, plan.device, plan.amp) if plan.device.type == "cuda" else CPU_BATCH
        plan.say(f"--batch-size -1: {batch} images fit")
    return replace(plan, options=replace(plan.options, imgsz=imgsz, batch_size=batch))


def build_run(plan: Plan, model: DetectionModel, batches: int, folder: RunFolder) -> Run:
    """Return the Run of a model on its device, with optimizer, loss and schedule."""
    options, hyp = plan.options, plan.hyp
    model = lay_out(model, plan.device)
    ema = ModelEMA(model)  # before the batch norms are exchanged: what is saved has the plain ones
    if options.sync_bn:
        model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    schedule = Schedule(
        options.epochs,
        batches,
        options.batch_size,
        hyp["lr0"],
        hyp["lrf"],
        hyp["momentum"],
        hyp["warmup_epochs"],
        hyp["warmup_momentum"],
        hyp["warmup_bias_lr"],
        options.cos_lr,
    )
    gain = QUAD if options.quad else 1
    settings = RunSettings(options.imgsz, options.seed, plan.amp, options.multi_scale, options.patience, gain)
    decay = scaled_decay(hyp["weight_decay"], options.batch_size)
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
    )


def run_folder(plan: Plan) -> RunFolder:
    """Return the RunFolder: that of the resumed run, or a new one with options and hyper-parameters written into it."""
    if plan.options.resume:
        return RunFolder(Path(plan.options.resume).resolve().parent.parent)
    with plan.processes.main_first():
        path = new_run(plan.options.project, plan.options.name, plan.options.exist_ok) if plan.processes.main else None
    folder = RunFolder(Path(plan.processes.broadcast(str(path))))
    if plan.processes.main:
        for file, content in ((folder.opt_yaml, stored_options(plan.options)), (folder.hyp_yaml, plan.hyp)):
            write_atomically(file, yaml.safe_dump(content, sort_keys=False).encode())
    return folder


def stored_options(options: TrainOptions) -> dict[str, Any]:
    """Return options as a plain dict that --resume can read back."""
    return {**asdict(options), "resume": ""}


def standard_hooks(plan: Plan, loader: Any) -> list[Hook]:
    """Return the hooks that options ask for and, in rank 0, those that record the run."""
    hooks: list[Hook] = [ImageWeightsHook(loader, len(plan.names))] if plan.options.image_weights else []
    if not plan.processes.main:
        return hooks
    hooks += [CsvHook(), GammaRecorder(draw=not plan.options.noplots), *([] if plan.quiet else [ProgressHook()])]
    if not plan.options.noplots:
        hooks.append(PictureHook(loader.dataset.labels, plan.names))
    if importlib.util.find_spec("tensorboard"):
        hooks.append(TensorBoardHook(summary_writer))
    else:
        plan.say("no TensorBoard logs: pip install tensorboard")
    return hooks


def measured(plan: Plan, model: DetectionModel, loader: Any, **options: Any) -> Any:
    """Return the Evaluation of a model on the validation images."""
    return measure(
        model,
        loader,
        device=plan.device,
        names=plan.names,
        single_cls=plan.options.single_cls,
        half=plan.amp is torch.float16,
        progress=False,
        **options,
    )


def validate_epoch(plan: Plan, loader: Any, run: Run) -> Any:
    """Return the Evaluation of the moving average after an epoch, or None when --noval skips it."""
    if plan.options.noval and not run.last_epoch:
        return None
    loss = DetectionLoss(run.ema.model, plan.hyp, plan.options.imgsz)  # run.loss would wait for the other processes
    return measured(plan, run.ema.model, loader, loss=loss)


def conclude(plan: Plan, run: Run, loader: Any) -> Any:
    """Measure the weights to use as they were saved, show the table, draw the pictures; return the Evaluation."""
    saved = run.folder.best_sparse, run.folder.best, run.folder.last  # after sparse training best.pt cannot be pruned
    file = next(file for file in saved if file in run.written)
    painter = None if plan.options.noplots else BatchPainter(run.folder, plan.names)
    evaluation = measured(plan, load_checkpoint(file).model, loader, confusion=True, observer=painter)
    plan.say(format_table(evaluation, verbose=len(plan.names) < FEW_CLASSES))
    if not plan.options.noplots:
        plot_evaluation(evaluation, plan.names, run.folder)
    plan.say(f"weights to use: {file}")
    for other in saved:
        if other.is_file() and other not in run.written:
            plan.say(f"{other} is of an earlier run")
    return evaluation
