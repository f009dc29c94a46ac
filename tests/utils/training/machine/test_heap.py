import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from tests.utils.training.runs import options
from utils.files.paths import ROOT
from utils.training import train
from utils.training.machine.heap import LARGEST, kept_memory

CPU = torch.device("cpu")
FILLS = """
import json, resource, torch
from utils.training.machine.heap import kept_memory
COUNT, BYTES = 10, 16 << 20
def share():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    [torch.ones(BYTES // 4) for _ in range(COUNT)]
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return faults * resource.getpagesize() / (COUNT * BYTES)
(hook,) = kept_memory(torch.device("cpu"))
hook.start(None)
within = min(share() for _ in range(10))  # the first few rounds still find gaps that are a little too small
hook.finish(None)
print(json.dumps([within, share()]))
"""  # shares of the pages that the kernel has to hand out for blocks, each time anew


class Libc:
    """Notes what is set."""

    def __init__(self):
        self.calls = []

    def mallopt(self, parameter, value):
        self.calls.append((parameter, value))
        return 0  # refused, which must be harmless

    def malloc_trim(self, padding):
        self.calls.append("trim")


def test_gaps_go_back_in_each_step_and_all_at_the_end():
    libc = Libc()
    (hook,) = kept_memory(CPU, libc)
    hook.start(None)
    assert libc.calls == [(-3, LARGEST), (-1, -1)]
    assert hook.extra_loss(None, None, None) is None
    assert libc.calls[2:] == ["trim"]
    hook.finish(None)
    assert libc.calls[-3:] == ["trim", (-1, 2 * LARGEST), "trim"]


def test_on_a_gpu_and_without_mallopt_there_is_no_hook():
    assert kept_memory(torch.device("cuda", 0), Libc()) == []
    assert kept_memory(CPU, SimpleNamespace(malloc_trim=1)) == []


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", ()), reason="a property of glibc")
def test_the_kernel_hands_out_the_pages_once():
    done = subprocess.run([sys.executable, "-c", FILLS], capture_output=True, text=True, check=True, cwd=ROOT)
    within, after = json.loads(done.stdout)
    assert within < 0.05 and after > 0.5


def test_a_training_has_the_hook_and_gives_the_same_weights(tmp_path, drawn_data, tiny_yaml, monkeypatch):
    found, libc = [], Libc()
    for hooks in [], kept_memory(CPU, libc):
        monkeypatch.setattr(train, "kept_memory", lambda device, hooks=hooks: hooks if device == CPU else 1 / 0)
        run = train.train(options(tmp_path, drawn_data, tiny_yaml, epochs=1), quiet=True)
        found.append(torch.cat([each.detach().flatten() for each in run.model.parameters()]))
    assert torch.equal(*found)
    assert libc.calls[:2] + libc.calls[-2:] == [(-3, LARGEST), (-1, -1), (-1, 2 * LARGEST), "trim"]
    assert libc.calls.count("trim") == run.schedule.batches + 1
