"""The flags of train_sparsity.py."""

import math
from dataclasses import dataclass, fields
from typing import ClassVar

from utils.benchmark.options import RUNTIMES
from utils.cli.options import like, option
from utils.errors import InputError
from utils.pruning.options import PruneOptions
from utils.sparsity.schedules import PENALTIES, SCHEDULES
from utils.teaching.options import TeachingOptions
from utils.training.options import COMPARED, TrainOptions

FLAGS = {"channels": "--target", "FLOPs": "--target-flops", "time": "--target-latency"}  # kind of a goal → its flag
TARGETS = {flag[2:].replace("-", "_"): flag for flag in FLAGS.values()}  # field of SparsityOptions → flag
AUTO = "auto"  # --sr without a number: FadeOut
USUAL_STRENGTH = "0.005"
USUAL_SHARE = 0.5  # of the channels go in the cut that is previewed when no goal is given


@dataclass
class SparsityOptions(TeachingOptions):
    """Options of train_sparsity.py: those of train.py, who teaches, and how gammas are driven to zero."""

    cfg_decides: ClassVar[bool] = False
    starts_taught: ClassVar[bool] = True
    cfg: str = option("", COMPARED)
    optimizer: str = like(TrainOptions, "optimizer", default="auto")
    st: bool = option(False, "sparse training; without it nothing differs from train.py", "--sparse")
    sr: str | None = option(
        None, f"strength of the L1 penalty on gamma, {USUAL_STRENGTH} if not given; auto: --target says how far to go"
    )
    penalty: str = option("subgradient", "how --sr NUMBER acts on gamma", choices=PENALTIES)
    sr_schedule: str = option("constant", "how --sr NUMBER changes during the run", choices=tuple(SCHEDULES))
    sr_beta: float = option(0.0, "with --sr NUMBER, strength of the same penalty on beta", minimum=0)
    target: float | None = option(None, "share of the channels that should go: 0.5 is half")
    target_flops: float | None = option(None, "instead of --target, share of the FLOPs that should be left")
    target_latency: float | None = option(
        None, "instead of --target, share of an image's time on this CPU that should be left"
    )
    runtime: str = option("onnx", "what --target-latency is measured in", choices=RUNTIMES)
    max_drop: float | None = option(
        None, "with --sr auto, the fade waits while mAP50-95 is so much below the start", minimum=0
    )
    round: int = option(PruneOptions.round, "widths that stay are multiples of this, as in prune.py", minimum=1)
    preview_period: int = option(5, "measure the cut, its channels masked, every so many epochs; 0: never", minimum=0)

    @property
    def classic(self) -> bool:
        """Whether a penalty of a given strength acts, or none: beside labels alone, at SGD's rates."""
        return not (self.st and self.sr == AUTO)

    @property
    def strength(self) -> float | str:
        """--sr as a number, or AUTO. Raises InputError for another value."""
        return parse_strength(USUAL_STRENGTH if self.sr is None else self.sr)

    @property
    def targets(self) -> dict[str, float]:
        """{flag: value} of the goals that are given."""
        return {flag: getattr(self, name) for name, flag in TARGETS.items() if getattr(self, name) is not None}

    def check(self) -> None:
        """Raise InputError for values that are wrong alone or exclude each other."""
        super().check()
        self.check_use()
        self.check_targets()
        self.check_max_drop()

    def check_use(self) -> None:
        """Raise InputError for a flag of sparse training without --st."""
        own = {field.name: field for field in fields(self) if field.name not in TrainOptions.__dataclass_fields__}
        usual = {name: field.default for name, field in own.items()} | {"st": self.st}
        idle = [name for name, value in usual.items() if getattr(self, name) != value]
        if idle and not self.st and not self.resume:  # runs of earlier versions stored --sr with plain training too
            flag = f"--{idle[0].replace('_', '-')} {getattr(self, idle[0])}"
            raise InputError(f"{flag}: has no effect without --st; add --st, or leave it out for plain training")

    def check_targets(self) -> None:
        """Raise InputError for goals and strengths that do not fit each other."""
        strength, given = self.strength, self.targets
        for flag, value in given.items():
            if not 0 < value < 1:
                raise InputError(f"{flag} {value}: must be above 0 and below 1")
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)}: exclude each other")
        if strength == AUTO and not given:
            raise InputError(
                "--sr auto: needs a goal: --target, the share of the channels that should go, such as 0.5, or "
                "--target-flops or --target-latency, the share of FLOPs or of time that should be left, such as 0.3"
            )
        if strength == AUTO and (self.sr_beta or self.sr_schedule != "constant" or self.penalty != "subgradient"):
            raise InputError("--sr auto: uses no penalty; leave out --penalty, --sr-schedule and --sr-beta")
        if self.runtime != RUNTIMES[-1] and self.target_latency is None:
            raise InputError(f"--runtime {self.runtime}: has no effect without --target-latency")

    def check_max_drop(self) -> None:
        """Raise InputError when --max-drop has nothing to go by."""
        if self.max_drop is not None and (self.strength != AUTO or self.noval):
            raise InputError(f"--max-drop {self.max_drop:g}: needs --sr auto and a validation after each epoch")
        if self.max_drop is not None and self.activation:
            raise InputError("--max-drop and --activation exclude each other: a new activation costs mAP at first")


def opening_notes(options: SparsityOptions) -> list[str]:
    """Return lines to show before a sparse run begins: what takes a while, what may be misunderstood."""
    lines = []
    if options.targets and options.strength != AUTO:
        lines.append(
            f"--sr {options.strength:g} is a penalty, however far it gets; {next(iter(options.targets))} is the cut "
            "that is tried on the way. To reach it: --sr auto"
        )
    if options.target_latency is not None:
        lines.append(f"measuring in {options.runtime} what widths cost in time, about a minute")
    return lines


def parse_strength(text: str) -> float | str:
    """Return --sr as a number, or AUTO. Raises InputError for a negative or other value."""
    if text == AUTO:
        return text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"--sr {text}: must be a number of at least 0, or auto")
    return value
