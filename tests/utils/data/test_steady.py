"""Processes that load images and are killed or hang: the batches stay the same."""

import os
import signal
import struct
import sys
import time

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from utils.data.steady import RESTARTS, SteadyLoader
from utils.errors import InputError

BATCHES = [[0, 1], [4, 5], [2, 3], [6, 7]]
FAULTS = {
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stopped": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "asleep": lambda: time.sleep(60),
}


class Faulty(Dataset):
    """Squares. One index brings its process into trouble, so many times in all; never the process of the test."""

    def __init__(self, folder, fault, index=2, times=1):
        self.folder, self.fault, self.index, self.times, self.home = folder, fault, index, times, os.getpid()

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == self.index and os.getpid() != self.home and len(list(self.folder.iterdir())) < self.times:
            (self.folder / str(time.monotonic_ns())).touch()
            FAULTS.get(self.fault, self.fault)()
        return torch.tensor(index**2)


class Late(DataLoader):
    """Is asked for its first batch some time after its processes began."""

    def __iter__(self):
        batches = super().__iter__()
        time.sleep(0.6)
        return batches


def loader(dataset, workers=2, kind=DataLoader):
    said = []
    load = lambda batches, count: kind(dataset, batch_sampler=batches, num_workers=count)  # noqa: E731
    return SteadyLoader(dataset, BATCHES, workers, load, patience=0.6, look=0.2, say=said.append), said


@pytest.mark.parametrize("fault", FAULTS)
def test_new_processes_go_on_with_the_missing_batch(tmp_path, fault):
    batches, said = loader(Faulty(tmp_path, fault))
    assert [batch.tolist() for batch in batches] == [[i**2 for i in batch] for batch in BATCHES]
    assert len(said) == 1 and "\n" not in said[0] and "2 new ones go on" in said[0]
    assert ("killed" in said[0]) == (fault == "killed")
    assert [batch.tolist() for batch in batches] == [[i**2 for i in batch] for batch in BATCHES] and len(said) == 1


def stop_later():
    """Stop this process when the batch before is announced, but not yet fetched."""
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGSTOP)


def kill_with_a_lock():
    """Die as the process that holds the lock of the event that ends it."""
    frame = sys._getframe()
    while "done_event" not in frame.f_locals:
        frame = frame.f_back
    frame.f_locals["done_event"]._cond.acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def kill_within_an_answer():
    """Die when half of an answer is in the pipe."""
    frame = sys._getframe()
    while "data_queue" not in frame.f_locals:
        frame = frame.f_back
    pipe = frame.f_locals["data_queue"]._writer
    time.sleep(0.2)  # the batch before is on its way
    os.write(pipe.fileno(), struct.pack("!i", 1000) + b"half")
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    "fault, kind", [(stop_later, Late), (kill_with_a_lock, DataLoader), (kill_within_an_answer, DataLoader)]
)
def test_nothing_that_the_processes_leave_behind_is_waited_for(tmp_path, fault, kind):
    batches, said = loader(Faulty(tmp_path, fault), kind=kind)
    start = time.monotonic()
    assert [batch.tolist() for batch in batches] == [[i**2 for i in batch] for batch in BATCHES]
    assert len(said) == 1 and time.monotonic() - start < 20


def test_after_some_attempts_images_are_loaded_without_processes(tmp_path):
    batches, said = loader(Faulty(tmp_path, "killed", times=100))
    assert [batch.tolist() for batch in batches] == [[i**2 for i in batch] for batch in BATCHES]
    assert len(said) == RESTARTS + 1 and batches.workers == 0 and "without" in said[-1]
    assert len(list(tmp_path.iterdir())) == RESTARTS + 1


def test_a_death_does_not_interrupt_what_the_program_does_meanwhile(tmp_path):
    batches, said = loader(Faulty(tmp_path, "killed", index=6))
    seen = []
    for batch in batches:
        time.sleep(0.2)  # a process dies here
        seen.append(batch.tolist())
    assert len(seen) == len(BATCHES) and len(said) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_is_gone_is_the_same_line_with_workers_as_without(workers):
    class Gone(Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            raise InputError("a/b.jpg: cannot be read as an image")

    batches, said = loader(Gone(), workers)
    with pytest.raises(InputError) as error:
        list(batches)
    assert str(error.value) == "a/b.jpg: cannot be read as an image" and not said


@pytest.mark.parametrize("workers", [0, 1])
def test_other_errors_of_the_data_set_are_no_fault_of_processes(workers):
    class Wrong(Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            raise RuntimeError("timed out while thinking")

    batches, said = loader(Wrong(), workers)
    with pytest.raises(RuntimeError, match="while thinking"):
        list(batches)
    assert not said
