"""A loader that goes on when a process that loads images is killed or hangs."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch.utils.data import DataLoader

from utils.errors import InputError, warn

RESTARTS = 2  # in an epoch, before the images are loaded without such processes
PATIENCE = 300.0  # seconds without a batch after which a process counts as hanging
LOOK = 5.0  # seconds between two looks at whether the processes are alive


class LostWorker(Exception):
    """A process that loads images was killed or hangs; the text says which of the two."""


class SteadyLoader:
    """The batches of a data set in the order that its sampler gives, whatever becomes of the processes that load them.

    When one is killed or hangs, new ones go on with the batch that is missing, and after RESTARTS of these in an epoch
    the images are loaded without. A line says so. The batches are the same: an item depends on its index and the epoch.

    Attributes: dataset, batch_sampler (sized iterable of lists of indices).
    """

    def __init__(
        self,
        dataset: Any,
        batch_sampler: Any,
        workers: int,
        load: Callable[[Sequence[list[int]], int], DataLoader],
        *,
        patience: float = PATIENCE,
        look: float = LOOK,
        say: Callable[[str], object] = warn,
    ) -> None:
        """load: callable(batches, workers) → DataLoader."""
        self.dataset, self.batch_sampler, self.workers, self.load = dataset, batch_sampler, workers, load
        self.patience, self.look, self.say = patience, look, say

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches. Raises InputError, the same with workers as without, when an image is gone."""
        batches, done, lost = list(self.batch_sampler), 0, 0
        while done < len(batches):
            try:
                for batch in self.served(batches[done:]):
                    done += 1
                    yield batch
            except LostWorker as problem:
                lost += 1
                self.workers = self.workers if lost <= RESTARTS else 0
                then = f"{self.workers} new ones go on" if self.workers else "it goes on without such processes"
                self.say(f"a process that loads images {problem}; {then}")

    def served(self, batches: list[list[int]]) -> Iterator[Any]:
        """Yield the given batches, as long as the processes live. Raises LostWorker and InputError."""
        with quiet_about_children():
            iterator: Any = iter(self.load(batches, self.workers))
        only_children_write(iterator)
        whole = False
        try:
            for _ in batches:
                yield self.next_batch(iterator) if self.workers else next(iterator)
            whole = Aside(lambda: next(iterator, None)).wait(4 * self.look)  # its processes end
        finally:
            if not whole:
                kill(iterator)
                Aside(getattr(iterator, "_shutdown_workers", bool)).wait(self.look)

    def next_batch(self, iterator: Any) -> Any:
        """Return the next batch of a DataLoader's iterator that has processes."""
        answer, waited = Aside(lambda: next(iterator)), 0.0
        while not answer.wait(self.look):
            waited += self.look
            if any(worker.exitcode for worker in iterator._workers):
                raise LostWorker("was killed")
            if waited >= self.patience:
                raise LostWorker(f"has not answered for {waited:g} seconds")
        try:
            return answer.result()
        except InputError as error:
            raise InputError(own_message(error)) from None
        except (RuntimeError, OSError, EOFError) as error:
            if str(error).startswith("Caught ") and "DataLoader worker" in str(error):
                raise  # of the data set
            raise LostWorker("was killed") from None


class Aside:
    """A call in a thread of its own, that can be given up.

    What a process leaves behind when it is stopped or killed may never end: it has announced a batch and does not hand
    it over, it holds a lock. A thread that waits for that does no harm; the program would.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function, self.value, self.done = function, None, threading.Event()
        self.error: BaseException | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self.value = self.function()
        except BaseException as error:
            self.error = error
        self.done.set()

    def wait(self, seconds: float) -> bool:
        """Return whether it ended within so many seconds."""
        return self.done.wait(seconds)

    def result(self) -> Any:
        """Return what it returned, or raise what it raised."""
        if self.error is not None:
            raise self.error
        return self.value


def kill(iterator: Any) -> None:
    """End the processes of a DataLoader's iterator. One that was stopped would outlive a request to end."""
    for worker in getattr(iterator, "_workers", ()):
        worker.kill()


def only_children_write(iterator: Any) -> None:
    """Close this process's own end of the pipe on which a DataLoader's processes answer.

    Otherwise half an answer of a process that was killed has no end, and whoever reads it waits for ever.
    """
    if getattr(iterator, "_workers", ()) and not hasattr(iterator, "_pin_memory_thread"):  # that thread is sent a word
        iterator._worker_result_queue._writer.close()


@contextmanager
def quiet_about_children() -> Iterator[None]:
    """Undo what a DataLoader does to the signal of a child that ends: it would raise an error wherever the program is.

    Without it, the death of a worker is noticed where its batch is missing.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


def own_message(error: InputError) -> str:
    """Return the message of an InputError without the traceback that a DataLoader puts before it."""
    return str(error).rpartition(f"{InputError.__module__}.{InputError.__name__}: ")[2].strip()
