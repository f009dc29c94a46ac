"""The training loop. It knows no files, flags or data sets; what a run does besides training is a Hook's part."""

import random
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate
from torch.nn.parallel import DistributedDataParallel

from models.yolo import DetectionModel
from utils.data.samples import Samples
from utils.training.faults.memory import Piece, explained, fitting, images_of, pieces
from utils.training.faults.setbacks import (
    Buffers,
    SetBack,
    Snapshot,
    count_skipped,
    say_skipped,
    set_back,
    weights_finite,
)
from utils.training.run import BatchNumbers, Run, record_evaluation

CLIP_NORM = 10.0
LEAST_SCALE = 1.0  # of losses in float16: with a smaller one, no overflow is for the scale's sake
SMALLEST_STRIDES = 2  # sides of training images are at least this many strides: batch norms need more than one value


class Hook:
    """Something that takes part in a run. All methods get the Run and do nothing here; every process calls them.

    Order: prepare, start, then per epoch before_epoch, per batch (more_images, extra_loss, before_step and after_step
    if the optimizer steps, after_batch), after_epoch, after_validation; at last finish. State that a resumed run needs
    goes through state_dict. An epoch may begin anew when numbers are not finite: then load_state_dict gives back the
    state from its start, and before_epoch follows.

    A hook reads what it likes of the Run. It may write these, and nothing else:

    - the weights of run.model in after_step; those of run.ema.model too, where both must be the same;
    - run.log, numbers of the epoch, under names of its own;
    - run.stop = True: the epoch is the last one;
    - run.best_epoch in after_validation: patience then counts from there. FadeOut starts the count anew when its
      channels are gone;
    - run.best_fitness in start, when it writes best.pt;
    - run.written, with each checkpoint that it writes (write_checkpoint does so).
    """

    def prepare(self, model: DetectionModel) -> None:
        """The network is known, nothing is written yet: the moment to raise InputError for what cannot work with it."""

    def opening_lines(self, run: Run, samples: Samples) -> list[str]:
        """Return lines for the user, shown in rank 0 before start; samples: the training images."""
        return []

    def start(self, run: "Run") -> None:
        """All is built, and restored when the run is resumed; run.epoch is the first epoch to do."""

    def before_epoch(self, run: "Run") -> None:
        """The model was put into training mode."""

    def more_images(self, run: "Run") -> torch.Tensor | None:
        """Return images without labels, uint8 [M, 3, H, W] like those of the loader, that join the batch; or None.

        The network sees them behind the others, at the same size; the loss of the labels and after_batch do not.
        """

    def extra_loss(self, run: "Run", images: torch.Tensor, raw: list[torch.Tensor]) -> torch.Tensor | None:
        """Return a loss to add to that of the labels, a scalar summed over images as DetectionLoss has it; or None.

        images: [B + M, 3, H, W] as the model saw them, the first run.batch.labelled with labels; raw: its outputs, nl
        maps [B + M, na, ny, nx, 5+nc]; run.batch has their labels and the loss of these. The computation in the
        network is in the precision of run.autocast(). Where memory is short, it is called for each piece of a batch.
        """

    def before_step(self, run: "Run") -> None:
        """Gradients are complete: unscaled, averaged over processes, clipped; the optimizer has not stepped."""

    def after_step(self, run: "Run") -> None:
        """The optimizer stepped (run.step counts it), the moving average has not followed yet. Weights are float32."""

    def after_batch(self, run: "Run", images: torch.Tensor, targets: torch.Tensor, paths: Sequence[str]) -> None:
        """A batch is done. images: [B, 3, H, W] in 0–1 as the model saw them; targets: [N, 6]."""

    def after_epoch(self, run: "Run") -> None:
        """All batches are done; the moving average is not validated yet."""

    def after_validation(self, run: "Run") -> None:
        """run.evaluation is that of this epoch (None if it was skipped), run.log is complete, nothing is saved yet."""

    def finish(self, run: "Run") -> None:
        """The run is over and its last checkpoint written."""

    def closing_lines(self, run: Run) -> list[str]:
        """Return lines for the user, shown below the final validation in rank 0. Comes after finish, or alone."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """Return plain values and tensors from which load_state_dict restores the hook."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what state_dict returned."""


def fit(run: Any, loader: Any, validate: Any, hooks: Any, save: Any) -> None:
    """Train run.model from run.epoch to the end.

    Args:
        run: Run.
        loader: yields (images uint8 [B, 3, H, W], targets [N, 6], paths, shapes); its dataset has set_epoch.
        validate: callable(run) → utils.validation.evaluate.Evaluation of run.ema.model, or None to skip this epoch;
            every process calls it, rank 0 records what it gets.
        hooks: list of Hook.
        save: callable(run, hooks), called in rank 0 after each epoch.

    A step whose loss or gradient is not finite is left out; after several in a row, or when a weight is not finite,
    the epoch begins anew at a lower learning rate (see faults/setbacks.py).

    Raises:
        TrainingError: that did not help. What was saved before stays.
    """
    network = run.model
    if run.processes.distributed:
        network = DistributedDataParallel(run.model, device_ids=[run.device] if run.device.type == "cuda" else None)
    notify(hooks, "start", run)
    while run.epoch < run.epochs and not run.stop:
        seed_everything(run.settings.seed, run.epoch, run.processes.rank)
        loader.dataset.set_epoch(run.epoch)
        begin_epoch(run, loader)
        snapshot = Snapshot(run, hooks)
        try:
            with explained(run):
                train_epoch(run, network, loader, hooks)
        except SetBack as problem:
            set_back(run, hooks, snapshot, problem)
            continue
        say_skipped(run)
        notify(hooks, "after_epoch", run)
        evaluation = validate(run)
        if run.processes.main:
            record_evaluation(run, evaluation)
        notify(hooks, "after_validation", run)
        run.part = {}
        run.stop = run.processes.broadcast(run.stop or run.patience_over)
        if run.processes.main:
            save(run, hooks)
        run.epoch += 1
    notify(hooks, "finish", run)


def notify(hooks: Sequence[Hook], moment: str, *args: Any) -> None:
    """Call one method of every hook."""
    for hook in hooks:
        getattr(hook, moment)(*args)


def seed_everything(*numbers: int) -> None:
    """Seed Python's, NumPy's and PyTorch's random generators from whole numbers, so that an epoch can be repeated."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def begin_epoch(run: Run, loader: Any) -> None:
    """Let the numbers of the epoch begin where it was stopped, which is nearly always at its start."""
    part: dict[str, Any] = {"first_batch": 0, "losses": torch.zeros(3), "counted": 0, "log": {}} | run.part
    run.first_batch, run.counted, run.log = part["first_batch"], part["counted"], dict(part["log"])
    run.losses = part["losses"].to(run.device, copy=True)
    if hasattr(loader, "batch_sampler"):
        loader.batch_sampler.first = run.first_batch


def train_epoch(run: Run, network: Any, loader: Any, hooks: Sequence[Hook]) -> None:
    """Pass once over the loader. Batches left over at the end make a step of their own, so no gradient is lost."""
    run.model.train()
    buffers = Buffers(run.model)
    notify(hooks, "before_epoch", run)
    run.optimizer.zero_grad(set_to_none=True)
    steps = set(run.schedule.steps_in(run.epoch))
    for index, (images, targets, paths, _) in enumerate(loader, run.first_batch):
        run.batch = BatchNumbers(index, labelled=len(images), instances=len(targets))
        set_rates(run)
        images = prepare(run, with_more(images, [hook.more_images(run) for hook in hooks]))
        run.batch.size = images.shape[-1]
        stepping = index in steps
        # Processes exchange gradients only when a step needs them.
        alone = run.processes.distributed and not stepping
        with network.no_sync() if alone else nullcontext():
            items = learn(run, network, hooks, images, targets)
        if items is not None:
            run.counted += 1
            run.losses += (items - run.losses) / run.counted
        if stepping:
            optimizer_step(run, hooks, buffers)
        notify(hooks, "after_batch", run, images[: run.batch.labelled], targets, paths)
    if not run.counted:
        run.losses += torch.nan
    run.log |= dict(zip(("train/box_loss", "train/obj_loss", "train/cls_loss"), run.losses.tolist()))


def set_rates(run: Run) -> None:
    """Set learning rates and momentum for the batch."""
    iteration = run.epoch * run.schedule.batches + run.batch.index
    rates = [rate * run.rate_factor for rate in run.schedule.learning_rates(iteration)]
    for group, rate in zip(run.optimizer.param_groups, rates):
        group["lr"] = rate
        if "momentum" in group:
            group["momentum"] = run.schedule.momentum_at(iteration)
    run.lr = rates[1]
    run.log |= {f"x/lr{i}": rate for i, rate in enumerate(rates)}


def with_more(images: torch.Tensor, others: Sequence[torch.Tensor | None]) -> torch.Tensor:
    """Return a batch of images [B, 3, H, W] with the batches of `others`, where they are not None, joined behind it."""
    more = [batch for batch in others if batch is not None]
    return torch.cat((images, *more)) if more else images


def prepare(run: Run, images: torch.Tensor) -> torch.Tensor:
    """Return images [B, 3, H, W] on the device as float32 in 0–1, resized when training at many scales."""
    layout = torch.channels_last if run.device.type == "cpu" else torch.contiguous_format
    images = images.to(run.device, non_blocking=True).to(torch.float32, memory_format=layout).div_(255)
    if not run.settings.multi_scale:
        return images
    stride, imgsz = run.model.size_multiple, run.settings.imgsz
    rng = np.random.default_rng([run.settings.seed, run.epoch, run.batch.index])  # the same in every process
    longest = rng.integers(max(imgsz // 2, SMALLEST_STRIDES * stride), imgsz * 3 // 2 + stride) // stride * stride
    ratio = longest / max(images.shape[2:])
    if ratio == 1:
        return images
    shape = [max(round(side * ratio / stride), 1) * stride for side in images.shape[2:]]
    return interpolate(images, size=shape, mode="bilinear", align_corners=False)


def learn(run: Run, network: Any, hooks: Sequence[Hook], images: torch.Tensor, targets: torch.Tensor) -> Any:
    """Add the gradients of one batch, in pieces where memory is short.

    Return its (box, objectness, class) losses [3], None if they are not finite.
    """
    labelled = run.batch.labelled

    def work(size: int) -> Any:
        """Learn the batch in pieces of so many images."""
        counts, parts = None, []
        for piece in pieces(images, targets, labelled, size):
            with run.autocast():
                raw = network(piece.images)
            if piece.share < 1:
                counts = counts or run.loss.counts(run.loss.matches(raw, targets.to(run.device)))
            parts.append(learn_piece(run, hooks, piece, raw, counts))
        return None if any(part is None for part in parts) else sum(parts)

    try:
        return fitting(run, labelled, work)
    finally:
        run.batch.labelled = labelled


def learn_piece(run: Run, hooks: Sequence[Hook], piece: Piece, raw: list[torch.Tensor], counts: Any) -> Any:
    """Add the gradients of one piece of a batch; return its share of the batch's losses [3], None if not finite.

    counts: what the whole batch's losses are divided by, for a piece that is not the whole.
    """
    run.batch.labelled = piece.labelled
    divisors = counts and [count * piece.share for count in counts]
    loss, items = run.loss(images_of(raw, piece.labelled), piece.targets, divisors)
    run.batch.targets, run.batch.divisors, run.batch.losses = piece.targets, divisors, items
    extras = [hook.extra_loss(run, piece.images, raw) for hook in hooks]
    loss = sum((extra for extra in extras if extra is not None), loss)
    finite = bool(torch.isfinite(loss))
    if not finite:
        run.bad_losses += 1
        loss = loss * torch.nan  # then no part of the gradient is finite, in no process
    # Processes average their gradients; the loss is a sum over the images of all of them.
    run.scaler.scale(loss * run.settings.loss_gain * run.processes.world_size).backward()
    return items * piece.share if finite else None


def optimizer_step(run: Run, hooks: Sequence[Hook], buffers: Buffers) -> None:
    """Clip, let the optimizer and the hooks change the weights, and update the moving average.

    Where a number is not finite, the step is left out. Raises SetBack when that does not help.
    """
    run.scaler.unscale_(run.optimizer)
    norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), CLIP_NORM)
    stepped = bool(torch.isfinite(norm))
    reason = "" if stepped else blame(run)
    if stepped:
        notify(hooks, "before_step", run)
        run.scaler.step(run.optimizer)
        run.step += 1
        notify(hooks, "after_step", run)
    run.scaler.update()  # after an overflow of float16: a smaller scale, and the step is left out
    run.optimizer.zero_grad(set_to_none=True)
    run.bad_losses = 0
    if not weights_finite(run.model):
        raise SetBack(f"{run.place}: a weight is not finite")
    if reason:
        buffers.put_back()
        count_skipped(run, reason)
    elif stepped:
        run.ema.update(run.model)
        buffers.keep()
        run.skipped = 0


def blame(run: Run) -> str:
    """Return why a gradient is not finite, the same in all processes; empty: only the loss scale may be too large."""
    if run.processes.average(torch.tensor(float(run.bad_losses), device=run.device)):
        return "the loss is not finite"
    overflow = run.scaler.is_enabled() and run.scaler.get_scale() > LEAST_SCALE
    return "" if overflow else "a gradient is not finite"
