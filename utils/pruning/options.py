"""The flags of prune.py."""

from dataclasses import dataclass

from utils.cli.options import like, option
from utils.errors import InputError
from utils.pruning.choice.goal import BUDGETS, Budget
from utils.pruning.choice.limits import SCOPES, Limits
from utils.pruning.flags import CutFlags
from utils.pruning.recipe import AGGREGATES, FROM_WEIGHTS, Recipe

DEFAULT_PERCENT = 0.5


@dataclass
class PruneOptions:
    """Options of prune.py."""

    weights: str = option("runs/train/exp/weights/last.pt", "checkpoint to prune, best after sparse training")
    percent: float | None = option(
        None,
        f"budget: share of the channels that goes; {DEFAULT_PERCENT} without a budget, 0 with the next three flags",
        minimum=0,
        below=1,
    )
    drop_scale: list[str] = option(
        [], "detection scales to remove, such as P5, and all layers that only they need", nargs="+"
    )
    keep_classes: list[str] = option(
        [], "classes to go on predicting, by name or number; with the trained weights", nargs="+"
    )
    drop_branches: str = option(
        "", "bottlenecks to leave out, those whose branches change the outputs least: a number, or a share such as 0.25"
    )
    flops: float | None = option(None, "budget: share of the FLOPs that stays", maximum=1)
    params: float | None = option(None, "budget: share of the parameters that stays", maximum=1)
    criterion: str = like(CutFlags, "criterion")
    aggregate: str | None = option(
        None, "how the scores of tied channels are joined; sum if not given", choices=AGGREGATES
    )
    power: float = option(
        1.0, "scores are raised to this before they are compared; 0.5 spreads the cut over more layers", minimum=0.1
    )
    compensate: str = like(CutFlags, "compensate")
    recalibrate: int = option(0, "images on which to estimate the batch norm statistics again; 0: keep them", minimum=0)
    calib: int = like(CutFlags, "calib")
    size_mb: float | None = option(None, "budget: size of the checkpoint in MB (millions of bytes)", minimum=0)
    latency_ms: float | None = option(
        None, "budget: milliseconds an image at --imgsz, measured on this machine's CPU", minimum=0
    )
    runtime: str = like(CutFlags, "runtime")
    max_drop: float | None = option(
        None, "budget: mAP50-95 that may be lost on the --task images of --data", minimum=0, below=1
    )
    data: str = option("data/coco128.yaml", "data yaml for validation and calibration")
    skip_bad_labels: bool = option(False, "leave out label rows that cannot be read, instead of stopping")
    accept_conf: bool = option(
        False, "accept label rows that end with a confidence, as --save-txt --save-conf writes them; it is not used"
    )
    check_photos: bool = option(False, "decode every photo while the data set is scanned, not only its head and end")
    cfg: str = option("", "model yaml: only compared, unless the weight file holds tensors alone")
    out: str = option("pruned_model.pt", "file to write")
    imgsz: int = option(640, "image size of validation and GFLOPs in pixels", "--img", "--img-size", minimum=32)
    batch_size: int = option(32, "images in a validation batch", "--batch", minimum=1)
    task: str = option("val", "split to validate on", choices=("train", "val", "test"))
    noval: bool = option(False, "neither validate nor measure times")
    scope: str = option(
        "global", "compare scores over the whole network, or take the same share of every layer", choices=SCOPES
    )
    min_channels: int = like(CutFlags, "min_channels")
    max_layer_share: float = like(CutFlags, "max_layer_share")
    round: int = like(CutFlags, "round")
    protect: list[str] = option([], "layers to leave whole, as patterns such as 'model.0.*'", nargs="+")
    std_guard: float | None = like(CutFlags, "std_guard")
    sensitivity: bool = option(False, "measure for the report what each layer and deeper cuts cost; takes minutes")
    suggest_head: bool = option(False, "say which detection scales the boxes of --data use at --imgsz, and end")
    show: bool = option(False, "print the channel groups of the network and end")
    dry_run: bool = option(False, "report, but write nothing")
    yes: bool = option(False, "without a budget: cut half of the channels even if little of the mAP would be left")
    seed: int = option(0, "start of the random numbers that draw images and pixels", minimum=0)
    device: str = option("", "cpu, or the number of a GPU; empty: a GPU if there is one")
    workers: int = option(4, "processes that load images", minimum=0)

    @property
    def needs_images(self) -> bool:
        """Tell whether a stage looks at calibration images."""
        return self.recipe.needs_images or bool(self.drop_branches)

    @property
    def shortens(self) -> bool:
        """Tell whether scales, classes or branches are to go before any channel."""
        return bool(self.drop_scale or self.keep_classes or self.drop_branches)

    @property
    def guards_accuracy(self) -> bool:
        """Tell whether a cut that nobody asked for by a budget is refused when it ruins the network."""
        given = any(getattr(self, name) is not None for name in BUDGETS)
        return not (given or self.shortens or self.noval or self.dry_run or self.yes)

    @property
    def budget(self) -> Budget:
        """The Budget that is given, or the default one."""
        given = ((name, getattr(self, name)) for name in BUDGETS)
        default = "percent", 0.0 if self.shortens else DEFAULT_PERCENT
        name, value = next(((name, value) for name, value in given if value is not None), default)
        return Budget(name, value, self.runtime)

    @property
    def budget_flag(self) -> str:
        """How messages call the budget."""
        return f"--{self.budget.measure.replace('_', '-')} {self.budget.value:g}:"

    @property
    def recipe(self) -> Recipe:
        """The Recipe of these options."""
        limits = Limits(self.min_channels, self.max_layer_share, self.round, self.std_guard)
        return Recipe(
            self.criterion,
            self.aggregate or AGGREGATES[0],
            self.power,
            limits,
            self.scope,
            self.compensate,
            self.recalibrate,
            self.calib,
            self.seed,
        )

    def check(self) -> None:
        """Raise InputError for values that are wrong alone or exclude each other."""
        given = [name for name in BUDGETS if getattr(self, name) is not None]
        if len(given) > 1:
            flags = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            raise InputError(f"{flags}: only one budget at a time")
        for name in ("flops", "params"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"--{name} {value}: must be above 0 and at most 1, the share that stays")
        if self.max_drop is not None and self.noval:
            raise InputError("--noval: --max-drop is about validation results")
        if self.sensitivity and self.noval:
            raise InputError("--noval: --sensitivity is about validation results")
        if self.runtime != "torch" and self.latency_ms is None:
            raise InputError(f"--runtime {self.runtime}: has no effect without --latency-ms")
        if self.aggregate is not None and self.criterion not in FROM_WEIGHTS:
            raise InputError(
                f"--aggregate {self.aggregate}: has no effect with --criterion {self.criterion}, "
                "which judges tied channels together"
            )
