"""The flags of a cut that prune.py and slim.py share: how channels are scored and chosen, and what replaces them."""

from dataclasses import dataclass

from utils.benchmark.options import RUNTIMES
from utils.cli.options import option
from utils.pruning.choice.limits import LARGEST_SHARE_AT_ONCE
from utils.pruning.recipe import CRITERIA, WAYS


@dataclass
class CutFlags:
    """Options that describe a cut."""

    criterion: str = option("bn", "what a channel's loss is estimated by", choices=CRITERIA)
    compensate: str = option(
        "beta", "what takes the place of removed channels: nothing, act(beta), means or refitted weights", choices=WAYS
    )
    calib: int = option(64, "training images that criteria and compensation look at", minimum=1)
    runtime: str = option("torch", "what --latency-ms is measured in", choices=RUNTIMES)
    min_channels: int = option(8, "channels that every layer keeps", minimum=1)
    max_layer_share: float = option(
        LARGEST_SHARE_AT_ONCE,
        "largest share of a layer's channels in use that may go; silent ones may all go",
        minimum=0,
        maximum=1,
    )
    round: int = option(8, "kept widths are multiples of this; 1: any width", minimum=1)
    std_guard: float | None = option(
        None, "only channels that score below mean - K deviations of their layer go", minimum=0
    )
