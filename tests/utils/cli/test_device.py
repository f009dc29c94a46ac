"""Names of devices."""

import pytest
import torch

from utils.cli.device import select_device
from utils.errors import InputError


def test_names():
    assert select_device("cpu") == torch.device("cpu")
    assert select_device("").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "99", "cuda:99", "-1", "0,x"])
def test_devices_that_are_not_there_are_named(name):
    with pytest.raises(InputError, match=name):
        select_device(name)


@pytest.mark.parametrize(
    ("name", "rank", "chosen"), [("2,3", 1, 3), ("0,1", 0, 0), ("", 2, 2), ("0", 2, 2), ("3", None, 3), ("", None, 0)]
)
def test_each_process_has_a_gpu_of_its_own(name, rank, chosen):
    assert select_device(name, rank, count=lambda: 4) == torch.device(f"cuda:{chosen}")


@pytest.mark.parametrize(
    ("name", "rank", "message"),
    [
        ("0,1", None, "torchrun --nproc_per_node 2 train.py --device 0,1"),
        ("0,1", 2, "names 2 GPUs"),
        ("4,5", 1, "found 0 to 3"),
        ("", 4, "found 0 to 3"),
    ],
)
def test_a_list_of_gpus_needs_as_many_processes(name, rank, message):
    with pytest.raises(InputError, match=message):
        select_device(name, rank, count=lambda: 4)
