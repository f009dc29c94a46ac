"""One process or many: what torchrun started, and the few things that the processes tell each other."""

import gc
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from utils.errors import InputError

TIMEOUT = timedelta(hours=6)  # the others wait for as long as rank 0 validates


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a run; every method is without effect when there is only one."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1

    @property
    def main(self) -> bool:
        """Whether this process writes the files and validates."""
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

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Run the body in rank 0, then in the others: what it caches on disk is found by them.

        An InputError in rank 0 is raised in the others too, in place of their body.
        """
        if not self.main:
            problem = self.broadcast(None)
            if problem:
                raise InputError(problem)
            yield
            return
        try:
            yield
        except InputError as error:
            self.broadcast(str(error))
            raise
        self.broadcast(None)


def process_group(environment: Mapping[str, str] = os.environ) -> ProcessGroup:
    """Return the ProcessGroup that torchrun describes in the environment; a single process without it."""
    rank, local, size = (
        int(environment.get(key, default)) for key, default in (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1))
    )
    return ProcessGroup(rank, local, size)


@contextmanager
def connected(processes: ProcessGroup, device: torch.device) -> Iterator[None]:
    """Connect the processes for the body: NCCL for CUDA devices, gloo for the CPU.

    Within the body of another `connected` the connection is that one: a second connection to the same store may fail.
    """
    if not processes.distributed or distributed.is_initialized():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield
        distributed.barrier()  # nobody leaves while another still talks
    finally:
        gc.collect()  # what is left in circles of references would keep gloo's threads alive until Python is half gone
        distributed.destroy_process_group()
