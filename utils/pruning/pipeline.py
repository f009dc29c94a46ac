"""A cut from the network to the narrower one: trace, score, select, rebuild and repair. Knows no command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from models.yolo import DetectionModel
from utils.boxes.loss import DetectionLoss
from utils.data.config import DataConfig
from utils.files.hyp import load_hyp
from utils.pruning.channels.groups import ChannelGraph, trace_channels
from utils.pruning.channels.masks import Masks
from utils.pruning.channels.rebuild import rebuild
from utils.pruning.choice.limits import Limits
from utils.pruning.recipe import Recipe
from utils.pruning.repair.constants import beta_constants, fold, mean_constants, recalibrate
from utils.pruning.repair.least_squares import reconstruct
from utils.pruning.scores.calibration import Calibration, load_calibration
from utils.pruning.scores.criteria import FROM_DATA, score_channels
from utils.pruning.scores.from_data import Evidence
from utils.pruning.structure.stages import drop_silent

HYP = "hyp.scratch-low.yaml"  # gains of the loss that criteria take gradients of


@dataclass(frozen=True)
class PruningTask:
    """A traced network that is to be cut, and all that the stages need besides."""

    recipe: Recipe
    model: DetectionModel  # whose channels are cut, float32, left as it is
    origin: DetectionModel  # the same with the branches that --drop-branches left out, which a refit makes up for
    graph: ChannelGraph
    whole: DetectionModel  # as it was read, with all scales, classes and branches
    reference: DetectionModel  # the same with the classes of the model, to compare mAP with
    image_size: int  # side in pixels, as the network takes it
    device: torch.device
    config: DataConfig | None = None  # with the classes of the model
    calibration: Calibration | None = None  # when a stage looks at images
    notes: list[str] = field(default_factory=list)  # lines that say what went before any channel

    @property
    def generator(self) -> torch.Generator:
        """A generator that starts at the seed."""
        return torch.Generator().manual_seed(self.recipe.seed)

    def images(self, count: int) -> Calibration:
        """Return the first so many calibration images; there are some wherever a stage looks at them."""
        assert self.calibration is not None, "the recipe needs images, and none were loaded"
        return self.calibration.first(count)

    @property
    def limits(self) -> Limits:
        """Limits of the selection."""
        return self.recipe.limits


@dataclass(frozen=True)
class Cut:
    """A finished cut: both networks, and what was decided."""

    graph: ChannelGraph  # of the network before
    before: DetectionModel
    after: DetectionModel
    keep: Masks


def prepare(
    model: DetectionModel,
    recipe: Recipe,
    image_size: int,
    device: torch.device,
    config: DataConfig | None = None,
    calibration: Calibration | None = None,
    before: Sequence[DetectionModel] = (),
    notes: Sequence[str] = (),
    branched: DetectionModel | None = None,
) -> PruningTask:
    """Return the PruningTask of a network: silent branches dropped, calibration images loaded, traced.

    Args:
        model: its channels are to be cut.
        image_size: side in pixels.
        config: images and labels, with the classes of the model; None where nothing needs any.
        calibration: images that are loaded already.
        before: the network as it was read, and that with the classes of `model`, when it was shortened.
        notes: what went before.
        branched: the network before some of its branches were left out.

    Raises InputError.
    """
    whole, reference = before or (model, model)
    if config and recipe.needs_images and calibration is None:
        calibration = load_images(recipe, config, image_size)
    if calibration:
        model.to(device)
    model, silent = drop_silent(model)
    graph, lines = trace_channels(model), [*notes, *silent]
    origin = branched or model
    return PruningTask(recipe, model, origin, graph, whole, reference, image_size, device, config, calibration, lines)


def load_images(recipe: Recipe, config: DataConfig, image_size: int) -> Calibration:
    """Return as many calibration images as a Recipe looks at, letterboxed to a side in pixels. Raises InputError."""
    rng = np.random.default_rng(recipe.seed)
    return load_calibration(config, max(recipe.calib, recipe.recalibrate), image_size, rng)


def score(task: PruningTask) -> dict[str, np.ndarray]:
    """Return {group: [width] what is lost with each channel}."""
    recipe, evidence = task.recipe, None
    if recipe.criterion in FROM_DATA:
        images = task.images(recipe.calib)
        loss = DetectionLoss(task.model, load_hyp(HYP), images.images.shape[-1])
        evidence = Evidence(images, loss, task.device)
    scores = score_channels(task.model, task.graph, recipe.criterion, recipe.aggregate, evidence, task.generator)
    return {name: values**recipe.power for name, values in scores.items()}


def make_cut(task: PruningTask, keep: Mapping[str, np.ndarray]) -> Cut:
    """Return the Cut of masks: the rebuilt network, compensated as the recipe says."""
    recipe, model, graph, keep = task.recipe, task.model, task.graph, Masks(keep)
    narrow = rebuild(model, graph, keep)
    if recipe.compensate == "beta":
        fold(narrow, model, graph, keep, beta_constants(model, graph, keep))
    elif recipe.compensate == "mean":
        fold(narrow, model, graph, keep, mean_constants(model, graph, task.images(recipe.calib), task.device))
    elif recipe.compensate == "lstsq":
        images = task.images(recipe.calib)
        reconstruct(narrow, model, graph, keep, images, task.device, task.generator, task.origin)
    if recipe.recalibrate:
        recalibrate(narrow, task.images(recipe.recalibrate), task.device)
    return Cut(graph, model, drop_silent(narrow)[0], keep)
