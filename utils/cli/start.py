"""How a script starts and ends: nothing heavy is imported before the flags are known to be right."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from models.errors import SpecError
from utils.errors import InputError, Terminated, printable

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, the shell's convention
EXIT_TERMINATED = 143  # 128 + SIGTERM


def run(options: str | type, work: str | Callable[..., object], description: str | None) -> None:
    """Run a script: parse the options, call work(options).

    Bad input and unusable files become one line and exit code 2.

    Args:
        options: the options dataclass, or "module:name" of it; that module must not need PyTorch.
        work: what is done, or "module:name" of it, which is imported when the flags are right.
        description: of the script, for --help.
    """
    prog = os.path.basename(sys.argv[0])
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may hold bytes that are no text
    try:
        with ending_in_order():
            with leaving_at_once(prog):
                given = read_flags(named(options), description, prog)
                main = named(work)
            main(given)
            sys.stdout.flush()  # at its end Python could only complain about a full disk
        ignore_signals()
        return
    except (InputError, SpecError) as error:
        line, code = f"{prog}: error: {error}", EXIT_BAD_INPUT
    except OSError as error:
        place = f"{error.filename}: " if error.filename is not None else ""
        line, code = f"{prog}: error: {place}{error.strerror or error}", EXIT_BAD_INPUT
    except Terminated:
        line, code = f"{prog}: terminated", EXIT_TERMINATED
    except KeyboardInterrupt:
        line, code = f"{prog}: interrupted", EXIT_INTERRUPTED
    ignore_signals()
    give_up_output()
    start = "\n" if code == EXIT_INTERRUPTED else ""  # the terminal shows ^C
    print(start + printable(line), file=sys.stderr)
    await_threads()
    sys.exit(code)


def ignore_signals() -> None:
    """Let the program end as it is about to: an impatient ^C would only add a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def give_up_output() -> None:
    """Drop what standard output cannot take: Python would complain about it once more at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def named(target: Any) -> Any:
    """Return what "module:name" stands for; anything but a text is returned as it is."""
    if not isinstance(target, str):
        return target
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def read_flags(cls: type, description: str | None, prog: str) -> Any:
    """Return the options that the command line gives, checked. Raises InputError or SpecError."""
    from utils.cli.options import given_flags, settle

    return settle(cls, given_flags(cls, sys.argv[1:], description, prog))


@contextmanager
def leaving_at_once(prog: str) -> Iterator[None]:
    """End the program when it is interrupted in the body, which imports and reads flags: nothing is at stake yet.

    An exception would not do: packages catch those that arise while they are imported.
    """

    def leave(number: int, _: object) -> None:
        """End the process with one line, as a handler of signals."""
        interrupted = number == signal.SIGINT
        os.write(2, f"\n{prog}: interrupted\n".encode() if interrupted else f"{prog}: terminated\n".encode())
        os._exit(EXIT_INTERRUPTED if interrupted else EXIT_TERMINATED)

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, or somebody else's
        yield
        return
    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Let SIGTERM end the body as ^C does, so that nothing is left half done.

    Not under torchrun: a process that waits for another one in a library would never get to it.
    """

    def end(*_: object) -> None:
        """Raise Terminated, as a handler of signals."""
        raise Terminated

    alone = os.environ.get("WORLD_SIZE", "1") == "1"
    if not alone or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end)
    sys.unraisablehook = deliver_again
    try:
        yield
    finally:
        sys.unraisablehook = sys.__unraisablehook__
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def deliver_again(lost: Any) -> None:
    """Send a signal once more that came while a callback ran in which Python drops exceptions; tell of all others."""
    numbers = {KeyboardInterrupt: signal.SIGINT, Terminated: signal.SIGTERM}
    if lost.exc_type not in numbers:
        sys.__unraisablehook__(lost)
        return
    import _thread
    import threading

    # Not at once: it would be dropped in here as well.
    threading.Timer(0.05, _thread.interrupt_main, (numbers[lost.exc_type],)).start()


def await_threads(seconds: float = 5.0) -> None:
    """Wait for the threads of pools that read images: one that is killed inside C++ aborts the whole interpreter.

    They end with the image that they are at; a pool that is left does not wait for them.
    """
    import threading
    import time
    from multiprocessing.dummy import DummyProcess

    end = time.monotonic() + seconds
    for thread in threading.enumerate():
        if isinstance(thread, DummyProcess):
            thread.join(max(end - time.monotonic(), 0))
