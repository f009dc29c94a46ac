"""How a cut is made, in names and numbers: known before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace

from utils.pruning.choice.limits import LARGEST_SHARE_AT_ONCE, Limits

FROM_WEIGHTS = ("bn", "l1", "l2", "l1-std", "fpgm", "lamp")  # rows of scores.from_weights.FROM_WEIGHTS
FROM_DATA = ("taylor", "fisher", "activation", "ablation")  # rows of scores.from_data.FROM_DATA
CRITERIA = (*FROM_WEIGHTS, *FROM_DATA, "random")
AGGREGATES = ("sum", "mean", "max", "l2")  # ways to join the scores of tied channels
WAYS = ("none", "beta", "mean", "lstsq")  # what takes the place of removed channels


@dataclass(frozen=True)
class Recipe:
    """How channels are scored and chosen, and what takes the place of those that go."""

    criterion: str = "bn"  # one of CRITERIA
    aggregate: str = AGGREGATES[0]  # how scores of tied channels are joined
    power: float = 1.0  # that scores are raised to
    limits: Limits = Limits(max_share=LARGEST_SHARE_AT_ONCE)
    scope: str = "global"  # one of limits.SCOPES
    compensate: str = "beta"  # one of WAYS
    recalibrate: int = 0  # images for the statistics of batch norm; 0: keep them
    calib: int = 64  # images that criteria and compensation look at
    seed: int = 0

    @property
    def needs_images(self) -> bool:
        """Whether criterion or repair look at calibration images."""
        return self.criterion in FROM_DATA or self.compensate in ("mean", "lstsq") or self.recalibrate > 0

    @property
    def untrained(self) -> Recipe:
        """The Recipe of the same limits that keeps most without any training."""
        return replace(self, criterion="taylor", power=0.5, compensate="lstsq")
