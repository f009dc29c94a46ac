"""Tiny networks and the optional folder of real data beside the project."""

import ipaddress
import signal
import socket

import pytest
import torch
import yaml

from utils.files.paths import ROOT

SHARED = ROOT.parent / "shared"


@pytest.fixture
def tiny_config():
    """The v6.0 architecture at an eighth of its width, one bottleneck a block, two classes: 0.5 M parameters."""
    config = yaml.safe_load((ROOT / "models/yolov5n.yaml").read_text())
    return {**config, "nc": 2, "width_multiple": 0.125, "depth_multiple": 0.33}


@pytest.fixture
def shared_data():
    """The folder of real data and weights; tests that want it are skipped where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip("no folder of real data beside the project")
    return SHARED / "data"


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Networks this small run fastest on one thread; runs of whole modules too, which are to be compared to the bit."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def interruptible():
    """Started in the background of a shell, tests and the scripts that they start would ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def signals():
    """A script that ends, here within a test, lets nothing interrupt it any more."""
    numbers = signal.SIGINT, signal.SIGTERM
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture(autouse=True, scope="session")
def no_network():
    """Tests talk to this machine alone."""
    connect = socket.socket.connect

    def connect_here(self, address):
        here = self.family == socket.AF_UNIX or ipaddress.ip_address(address[0]).is_loopback
        if not here:
            raise AssertionError(f"a test wants to reach {address}")
        return connect(self, address)

    def refuse(host, *_, **__):
        raise AssertionError(f"a test wants to look up {host}")

    with pytest.MonkeyPatch.context() as patch:
        look_up = socket.getaddrinfo
        patch.setattr(socket.socket, "connect", connect_here)
        patch.setattr(socket, "getaddrinfo", lambda host, *a, **k: (look_up if local(host) else refuse)(host, *a, **k))
        yield


def local(host):
    """Tell whether a name or address is that of this machine."""
    return host in (None, "", "localhost", socket.gethostname()) or str(host).startswith(("127.", "::1"))


@pytest.fixture(autouse=True)
def seeded():
    """Every test starts from the same random numbers."""
    torch.manual_seed(0)
