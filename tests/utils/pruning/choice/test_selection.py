"""Selection is a pure function: shares, limits, blocks and ties computed by hand."""

import numpy as np
import pytest

from utils.errors import InputError
from utils.pruning.choice.costs import ChannelCost
from utils.pruning.choice.limits import Limits
from utils.pruning.choice.selection import blocks_of, largest_share, select_by_cost

ANY = Limits(min_channels=1, max_share=1.0, multiple=1)


def ceiling_of(scores, limits):
    return largest_share(scores, ChannelCost(costs_like(scores)), limits)


def costs_like(scores, each=1):
    return {name: np.full(len(values), each) for name, values in scores.items()}


def select(scores, costs, share, limits, scope="global"):
    return select_by_cost(scores, ChannelCost(costs), 1 - share, limits, scope)


def test_a_global_threshold_over_groups():
    scores = {"a": np.array([0.1, 0.9, 0.3, 0.8]), "b": np.array([0.2, 0.7, 0.6, 0.5])}
    keep = select(scores, costs_like(scores), 0.375, ANY)  # three of eight: 0.1, 0.2, 0.3
    assert keep["a"].tolist() == [False, True, False, True]
    assert keep["b"].tolist() == [False, True, True, True]


def test_a_tied_channel_counts_as_often_as_it_stands():
    scores = {"alone": np.array([0.4, 0.5, 0.9]), "tied": np.array([0.6, 3.0])}
    costs = {"alone": np.array([1, 1, 1]), "tied": np.array([2, 2])}  # 0.6 over two places: 0.3 each
    keep = select(scores, costs, 3 / 7, ANY)
    assert keep["tied"].tolist() == [False, True]
    assert keep["alone"].tolist() == [False, True, True]


def test_widths_are_multiples_and_an_odd_one_becomes_a_multiple_first():
    limits = Limits(min_channels=4, max_share=1.0, multiple=4)
    blocks = blocks_of("g", np.arange(10.0)[::-1].copy(), limits)
    assert [block.channels.tolist() for block in blocks] == [[9, 8], [7, 6, 5, 4]]
    assert [block.depth for block in blocks] == [0.2, 0.6]
    assert [block.score for block in blocks] == [0 + 1, 2 + 3 + 4 + 5]


@pytest.mark.parametrize(
    ("width", "used", "limits", "floor"),
    [
        (64, 64, Limits(8, 0.9, 8), 8),  # a tenth of 64 is 6.4, the floor 8 is more
        (256, 256, Limits(8, 0.9, 8), 32),  # 25.6 rounded up to the grid
        (256, 32, Limits(8, 0.7, 8), 16),  # 9.6 of those in use; the 224 silent ones do not count
        (5, 5, Limits(8, 0.9, 8), 5),  # nothing to take from
        (10, 10, Limits(1, 1.0, 1), 1),
        (10, 10, Limits(1, 0.5, 1), 5),
    ],
)
def test_floors(width, used, limits, floor):
    assert limits.floor(width, used) == floor


def test_silent_channels_may_all_go_and_go_first():
    scores = {"faded": np.array([0.0] * 24 + [5.0] * 8), "used": np.full(32, 1.0)}
    limits = Limits(8, 0.5, 8)
    assert ceiling_of(scores, limits) == pytest.approx((24 + 16) / 64)
    keep = select(scores, costs_like(scores), 24 / 64, limits)
    assert keep["used"].all() and np.array_equal(keep["faded"], scores["faded"] > 0)


def test_no_floor_is_broken_at_the_ceiling():
    rng = np.random.default_rng(0)
    scores = {"a": rng.random(64), "b": rng.random(32), "c": rng.random(12)}
    limits = Limits(8, 0.9, 8)
    ceiling = ceiling_of(scores, limits)
    assert ceiling == pytest.approx((56 + 24 + 4) / 108)
    keep = select(scores, costs_like(scores), ceiling, limits)
    assert [int(keep[name].sum()) for name in scores] == [8, 8, 8]


def test_a_share_above_the_ceiling_is_refused_with_the_ceiling():
    scores = {"a": np.arange(1.0, 17.0)}
    with pytest.raises(InputError, match="^80.0% of the channels cannot go: at most 50.0%"):
        select(scores, costs_like(scores), 0.8, Limits(8, 1.0, 8))


@pytest.mark.parametrize("share", [-0.1, 1.0, 2.0, float("nan")])
def test_shares_outside_are_refused(share):
    scores = {"a": np.arange(16.0)}
    with pytest.raises(InputError):
        select(scores, costs_like(scores), share, ANY)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.33, 0.5, 0.7])
@pytest.mark.parametrize("multiple", [1, 2, 8])
def test_the_share_is_met_within_half_a_block_and_grows_with_it(share, multiple):
    rng = np.random.default_rng(1)
    scores = {f"g{i}": rng.random(width) for i, width in enumerate([16, 32, 48, 64, 128])}
    limits = Limits(1, 1.0, multiple)
    keep = select(scores, costs_like(scores), share, limits)
    removed = sum(int((~mask).sum()) for mask in keep.values())
    assert abs(removed - share * 288) <= multiple / 2
    more = select(scores, costs_like(scores), share + 0.1, limits)
    assert all((more[name] <= keep[name]).all() for name in keep)  # what went at the smaller share still goes


def test_layer_scope_takes_the_same_share_of_every_group():
    scores = {"a": np.arange(1.0, 41.0), "b": 1000 + np.arange(20.0)}
    keep = select(scores, costs_like(scores), 0.5, ANY, scope="layer")
    assert np.flatnonzero(keep["a"]).tolist() == list(range(20, 40))
    assert np.flatnonzero(keep["b"]).tolist() == list(range(10, 20))


def test_the_guard_lets_only_outliers_go():
    scores = np.array([0.1, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 4.9])  # mean 4.375, deviation 1.616
    guarded = Limits(1, 1.0, 1, std_guard=1.0)
    assert [block.channels.tolist() for block in blocks_of("g", scores, guarded)] == [[0]]
    assert len(blocks_of("g", scores, ANY)) == 7
    # On a grid of 4, what the guard allows is not enough for a block.
    assert blocks_of("g", scores, Limits(1, 1.0, 4, std_guard=1.0)) == []


def test_channels_that_score_alike_are_no_outliers():
    assert blocks_of("g", np.full(4, 2.0), Limits(1, 1.0, 1, std_guard=1.0)) == []


def test_limits_say_what_they_leave():
    assert (
        str(Limits(8, 0.7, 8)) == "at least 8 channels and 30% of those in use left in every layer, in multiples of 8"
    )
    assert "only those 1.5 deviations below their layer's mean" in str(Limits(8, 0.7, 8, 1.5))


def test_a_block_too_large_for_the_budget_lets_smaller_ones_go():
    scores = {"large": np.array([0.1, 9.0]), "small": np.array([10.0, 10.0, 10.0])}
    costs = {"large": np.array([50.0, 50.0]), "small": np.array([5.0, 5.0, 5.0])}  # rates 0.002 and 2
    keep = select(scores, costs, 10 / 115, ANY)
    assert keep["large"].all() and keep["small"].sum() == 1
    keep = select(scores, costs, 50 / 115, ANY)
    assert keep["large"].tolist() == [False, True] and keep["small"].all()


class Product:
    """A cost by hand, with the ledger of itself: a · b + 4 · c, where a, b and c are the widths of three groups."""

    name, block = "work", 1

    def __init__(self, **widths):
        self.widths = widths
        self.total = self.left = self.work()

    def work(self, **gone):
        a, b, c = (self.widths[name] - gone.get(name, 0) for name in "abc")
        return a * b + 4 * c

    def ledger(self):
        return Product(**self.widths)

    def gain(self, group, channels):
        return self.left - self.work(**{group: len(channels)})

    def remove(self, group, channels):
        self.widths = {**self.widths, group: self.widths[group] - len(channels)}
        self.left = self.work()


def test_a_block_is_rated_anew_when_others_have_gone():
    # Rates at first: a 1 / 4, b 1.2 / 4, c 1.6 / 4. When three of a have gone, b is worth 1 instead of 4: 1.2.
    scores = {"a": np.array([1, 1, 1, 99]), "b": np.full(4, 1.2), "c": np.full(4, 1.6)}
    keep = select_by_cost(scores, Product(a=4, b=4, c=4), 16 / 32, ANY)
    assert {name: int(mask.sum()) for name, mask in keep.items()} == {"a": 1, "b": 4, "c": 3}


def test_order_of_groups_does_not_matter():
    rng = np.random.default_rng(2)
    scores = {f"g{i}": rng.random(32) for i in range(6)}
    turned = dict(reversed(scores.items()))
    keep, other = (select(s, costs_like(s), 0.5, Limits(8, 1.0, 8)) for s in (scores, turned))
    assert all(np.array_equal(keep[name], other[name]) for name in scores)


def test_a_guard_keeps_the_channels_that_are_not_far_below_the_mean_in_whole_multiples():
    scores = np.array([0.1] * 11 + [10.0] * 5)  # mean 3.19, deviation 4.59: five are above 3.19 − 0.5 · 4.59
    assert Limits(min_channels=1, max_share=1.0, multiple=1, std_guard=0.5).smallest(scores) == 5
    assert Limits(min_channels=1, max_share=1.0, multiple=4, std_guard=0.5).smallest(scores) == 8


def test_a_layer_keeps_eight_channels_and_a_tenth_of_those_in_use_unless_told_otherwise():
    assert (Limits().floor(64, 64), Limits().floor(256, 256), Limits().floor(4, 4)) == (8, 32, 4)
    assert Limits(multiple=1).floor(256, 256) == 26 and Limits(multiple=1).floor(64, 64) == 8
