"""One process or many: what torchrun started, and the few things that the processes tell each other."""

import gc
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import torch
from torch import distributed

from utils.errors import InputError

TIMEOUT = timedelta(minutes=20)  # longer than a loader waits for processes that hang, and starts others
LOOK = 0.2  # seconds between two looks at whether rank 0 is done
DONE = "done\0"  # how what a process tells others begins when all went well
LOST = ("closed by peer", "reset by peer", "broken pipe", "communicator was aborted", "timed out waiting")
TURNS = itertools.count()  # numbers for the store, given in the same order in every process


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a run; every method is without effect when there is only one."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    machine: int = 0
    attempt: int | None = None  # times that torchrun has started the processes again; None: it would not

    @property
    def main(self) -> bool:
        """Whether this process writes the files and sums up validations."""
        return self.rank == 0

    @property
    def distributed(self) -> bool:
        """Whether there are other processes."""
        return self.world_size > 1

    def average(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the mean of a floating-point tensor over all processes."""
        if not self.distributed:
            return tensor
        total = tensor.clone()
        distributed.all_reduce(total)
        return total / self.world_size

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's `value` (a plain value) in every process."""
        if not self.distributed:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: Any) -> list[Any] | None:
        """Return the `value` of every process (arrays and plain values), by rank, in rank 0; None in the others."""
        if not self.distributed:
            return [value]
        box = [None] * self.world_size if self.main else None
        distributed.gather_object(value, box, dst=0)
        return box

    @torch.no_grad()
    def align(self, model: torch.nn.Module, device: torch.device) -> None:
        """Give the model of every process rank 0's weights and statistics; device: that the processes talk by."""
        if not self.distributed:
            return
        tensors = list(model.state_dict().values())
        for kind in dict.fromkeys(tensor.dtype for tensor in tensors):
            same = [tensor for tensor in tensors if tensor.dtype is kind]
            joined = torch.cat([tensor.reshape(-1).to(device) for tensor in same])
            distributed.broadcast(joined, src=0)
            for tensor, values in zip(same, joined.split([tensor.numel() for tensor in same]), strict=True):
                tensor.copy_(values.view(tensor.shape))

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Run the body in rank 0, then in the others: what it caches on disk is found by them.

        The others ask a store whether it is done: no collective waits meanwhile, however long it takes. An InputError
        in rank 0 is raised in the others too, in place of their body.
        """
        if not self.distributed:
            yield
            return
        store, key = attempt_store(self), f"main_first {next(TURNS)}"
        if not self.main:
            _wait_for(store, key)
            yield
            return
        with _telling(store, key):
            yield
            store.set(key, DONE)

    def once_a_machine(self, make: Callable[[], str]) -> str:
        """Return what `make` returns in the first process of this machine; the others wait as in main_first."""
        if not self.distributed:
            return make()
        store, key = attempt_store(self), f"once {self.machine} {next(TURNS)}"
        if self.local_rank:
            return _wait_for(store, key)
        with _telling(store, key):
            made = make()
            store.set(key, DONE + made)
        return made


def _wait_for(store, key):
    """Return what another process leaves in a store under a key. Raises its InputError."""
    while not store.check([key]):
        time.sleep(LOOK)
    told = store.get(key).decode()
    if not told.startswith(DONE):
        raise InputError(told)
    return told.removeprefix(DONE)


@contextmanager
def _telling(store, key):
    """Leave an InputError of the body in a store under a key."""
    try:
        yield
    except InputError as error:
        store.set(key, str(error))
        raise


def process_group(environment: Mapping[str, str] = os.environ) -> ProcessGroup:
    """Return the ProcessGroup that torchrun describes in the environment; a single process without it."""
    values = (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1), ("GROUP_RANK", 0))
    rank, local, size, machine = (int(environment.get(key, default)) for key, default in values)
    kept = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # the store outlives the processes
    return ProcessGroup(rank, local, size, machine, int(environment["TORCHELASTIC_RESTART_COUNT"]) if kept else None)


@cache
def shared_store() -> Any:
    """Return the key-value store of all processes; that of torchrun stays when it starts them again."""
    store, _, _ = next(distributed.rendezvous("env://"))
    return getattr(store, "underlying_store", store)


def attempt_store(processes: ProcessGroup) -> Any:
    """Return the part of it that no earlier attempt has written into."""
    return distributed.PrefixStore(f"attempt {processes.attempt}", shared_store())


@contextmanager
def connected(processes: ProcessGroup, device: torch.device, timeout: timedelta = TIMEOUT) -> Iterator[None]:
    """Connect the processes for the body: NCCL for CUDA devices, gloo for the CPU.

    Within the body of another `connected` the connection is that one.

    Args:
        timeout: after which a process that waits for another one gives up.

    Raises InputError when another process is gone.
    """
    if not processes.distributed or distributed.is_initialized():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=distributed.PrefixStore(f"collectives {next(TURNS)}", attempt_store(processes)),
        rank=processes.rank,
        world_size=processes.world_size,
        timeout=timeout,
    )
    try:
        yield
        distributed.barrier()  # nobody leaves while another still talks
    except RuntimeError as error:
        if not lost_process(error):
            raise
        raise InputError(
            "another process of this training has ended or does not answer; its message says why. "
            "The last checkpoint stays; to go on: --resume"
        ) from None
    finally:
        gc.collect()  # what is left in circles of references would keep gloo's threads alive until Python is half gone
        distributed.destroy_process_group()


def lost_process(error: BaseException) -> bool:
    """Tell whether an error is that of a collective whose other side is gone."""
    return isinstance(error, distributed.DistError) or any(words in str(error).lower() for words in LOST)
