"""How far long work is: a bar on a terminal; in a log, plain lines now and then. Both say about how long it takes.

What is done within ten seconds leaves no line in a log.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, TextIO, TypeVar

from tqdm import tqdm

FIRST = 10.0  # seconds of silence before the first line of a log
SHORTEST, LONGEST = 30.0, 300.0  # seconds between lines; within them, as long as a tenth of the work takes
BYTES = "B"  # the unit that is written as kB, MB, GB

Item = TypeVar("Item")


class Event(NamedTuple):
    """How far a piece of work is."""

    what: str
    done: int
    total: int | None  # None where nobody knows
    unit: str
    note: str
    seconds_left: float | None  # about; None where that is not known


LISTENER: ContextVar[Callable[[Event], object] | None] = ContextVar("LISTENER", default=None)


class Stopped(BaseException):
    """A listener raised its cause: no Exception, because that may be caught as one of the work's own."""


@contextmanager
def listening(listener: Callable[[Event], object]) -> Iterator[None]:
    """Call the listener with every Event of the work in the body; what it raises ends that work, and is raised here."""

    def tell(event: Event) -> None:
        """Tell the listener."""
        try:
            listener(event)
        except Exception as error:
            raise Stopped from error

    token = LISTENER.set(tell)
    try:
        yield
    except Stopped as stop:
        assert stop.__cause__ is not None
        raise stop.__cause__ from None
    finally:
        LISTENER.reset(token)


class Progress:
    """The progress of one piece of work; a context manager that is told of every part that is done."""

    def __init__(
        self,
        what: str,
        total: int | None = None,
        unit: str = "images",
        *,
        done: int = 0,
        shown: bool = True,
        leave: bool = False,
        bar_format: str | None = None,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin, with nothing shown in a log yet.

        Args:
            what: what is being done; may be changed on the way, as may `note`, which stands behind the numbers.
            total: parts in all; None where nobody knows.
            unit: what a part is, in the plural, or BYTES.
            done: parts that were done before.
            shown: False for no word at all.
            leave: the bar stays on the terminal in the end.
            bar_format: of tqdm, for a bar other than its own.
            stream: where to; default: standard error.
            clock: returns seconds.
        """
        self.what, self.total, self.unit, self.done, self.clock = what, total, unit, done, clock
        self.note = ""
        self.stream = stream or sys.stderr
        self.before, self.began = done, clock()
        self.next_line = self.began + FIRST
        self.said = False
        terminal = self.stream.isatty()
        self.in_log = shown and not terminal
        self.bar = None
        if shown and terminal:
            scale = unit == BYTES
            self.bar = tqdm(
                desc=what,
                total=total,
                initial=done,
                unit=unit if scale else f" {unit}",
                unit_scale=scale,
                leave=leave,
                bar_format=bar_format,
                dynamic_ncols=True,
                file=self.stream,
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *failure: object) -> None:
        self.close(finished=failure[0] is None)

    def update(self, count: int = 1) -> None:
        """Count parts that are done, and show it where it is time to."""
        self.done += count
        listener = LISTENER.get()
        if listener is not None:
            listener(Event(self.what, self.done, self.total, self.unit, self.note, self.seconds_left()))
        if self.bar is not None:
            self.describe(refresh=False)
            self.bar.update(count)
        elif self.in_log and self.clock() >= self.next_line:
            self.write_line()

    def describe(self, refresh: bool = True) -> None:
        """Put `what` and `note` as they are now on the bar."""
        if self.bar is not None:
            self.bar.set_description_str(self.what, refresh=False)
            self.bar.set_postfix_str(self.note, refresh=refresh)

    def close(self, finished: bool = True) -> None:
        """End it; in a log that has lines of it already, with the time that it took."""
        if self.bar is not None:
            self.bar.close()
        elif self.said and finished:
            self.write(f"{self.what}: {self.amount()}, took {tqdm.format_interval(self.clock() - self.began)}")
        self.said = False

    def seconds_left(self) -> float | None:
        """Return about how many seconds the rest takes, None where that is not known."""
        now_done = self.done - self.before
        if self.total is None or now_done <= 0:
            return None
        return (self.clock() - self.began) / now_done * max(self.total - self.done, 0)

    def write_line(self) -> None:
        """Write the line of a log, and set the time of the next one."""
        now, left = self.clock(), self.seconds_left()
        rest = "" if left is None else f", about {tqdm.format_interval(left)} left"
        note = f"; {self.note}" if self.note else ""
        self.write(f"{self.what}: {self.amount()}, {tqdm.format_interval(now - self.began)} so far{rest}{note}")
        tenth = 0.0 if left is None else (now - self.began + left) / 10
        self.next_line = now + min(max(tenth, SHORTEST), LONGEST)
        self.said = True

    def amount(self) -> str:
        """Return in words how much is done."""
        if self.unit == BYTES:
            done, total = (tqdm.format_sizeof(value, BYTES) for value in (self.done, self.total or 0))
        else:
            done, total = f"{self.done:,}", f"{self.total or 0:,} {self.unit}"
        if self.total is None:
            return done if self.unit == BYTES else f"{done} {self.unit}"
        return f"{done} of {total} ({self.done / max(self.total, 1):.0%})"

    def write(self, line: str) -> None:
        """Write a line at once."""
        print(line, file=self.stream, flush=True)


def track(
    items: Iterable[Item], what: str, total: int | None = None, unit: str = "images", *, shown: bool = True
) -> Iterator[Item]:
    """Yield the items, and show as Progress does how many are done; total: how many there are, where they cannot say.

    what, unit, shown: as in Progress.
    """
    count = len(items) if total is None and isinstance(items, Sized) else total
    with Progress(what, count, unit, shown=shown) as progress:
        for item in items:
            yield item
            progress.update()
