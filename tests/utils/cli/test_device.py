"""Names of devices."""

import pytest
import torch

from utils.cli.device import select_device
from utils.errors import InputError


def test_names():
    assert select_device("cpu") == torch.device("cpu")
    assert select_device("").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "99", "cuda:99", "-1"])
def test_devices_that_are_not_there_are_named(name):
    with pytest.raises(InputError, match=name):
        select_device(name)
