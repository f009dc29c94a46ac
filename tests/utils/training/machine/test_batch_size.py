import pytest

from utils.training.machine.batch_size import LARGEST, largest_batch


@pytest.mark.parametrize(
    ("sizes", "used", "budget", "batch"),
    [
        ([1, 2, 4], [30, 50, 90], 1010, 50),  # 10 + 20 a image
        ([1, 2, 4], [30, 50, 90], 20, 1),
        ([1, 2], [1, 2], 10**9, LARGEST),
        ([1, 2], [5, 5], 100, 2),  # no slope to go by
        ([], [], 100, 1),
    ],
)
def test_straight_line_through_the_measurements(sizes, used, budget, batch):
    assert largest_batch(sizes, used, budget) == batch
