"""slim.json: the state of a slim.py run, saved after every change, from which an interrupted run goes on."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from utils.errors import InputError
from utils.files.typed_json import read_json, write_json
from utils.pruning.choice.milliseconds import Rates
from utils.slimming.options import SlimOptions

VERSION: Final = 1
FILE = "slim.json"
ABSENT = "not set"


@dataclass
class Measurement:
    """What was measured of a network of the run: of the checkpoint as it lies on disk."""

    file: str  # relative to the folder of the run
    map50: float
    map: float  # mean over IoU 0.50:0.05:0.95
    loss: float | None  # on the validation images, box + objectness + class; None: not finite
    parameters: int
    gflops: float
    bytes: int
    ms: float  # milliseconds an image in PyTorch
    l1: dict[str, list[float]]  # see filter_norms
    goal_ms: float | None = None  # milliseconds an image in the runtime of a goal in time


@dataclass
class Step:
    """One attempt at a step, finished or under way; what is None is still to be done."""

    number: int
    attempt: int  # from 1
    share: float  # of the current FLOPs, or milliseconds, to remove
    left: float  # of the start's
    rates: Rates | None = None  # where the share is one of milliseconds
    sparse: Measurement | None = None  # after sparse training
    pruned: Measurement | None = None  # after the cut
    finetuned: Measurement | None = None
    result: Literal["finetuned", "pruned"] | None = None  # the better of the two
    seconds: dict[str, float] = field(default_factory=dict)  # that each phase took
    kept: bool | None = None  # None: under way
    why: str | None = None  # it was kept or undone

    @property
    def network(self) -> Measurement | None:
        """The network that the attempt ended with, as far as it went."""
        named = self.pruned if self.result == "pruned" else self.finetuned
        return named or self.pruned

    @property
    def label(self) -> str:
        """What the attempt is called: 2, or 2.3 for the third attempt at step 2."""
        return f"{self.number}.{self.attempt}" if self.attempt > 1 else str(self.number)


@dataclass
class Phase:
    """The part of a step that is under way."""

    step: int
    attempt: int
    name: Literal["sparse", "cut", "finetune"]
    epoch: int  # epochs done
    epochs: int | None  # of the whole phase; None where there are none
    began: float  # seconds of the run


@dataclass(kw_only=True)
class SlimState:
    """The content of slim.json."""

    version: Literal[1]
    options: dict[str, Any]
    goal: str  # in words
    begun: str  # date and time
    seconds: float  # of all runs of the command together
    finished: bool
    reason: str | None  # why the run is over
    delivered: int  # steps kept
    output: str | None  # path of the result
    phase: Phase | None
    start: Measurement
    steps: list[Step]  # finished attempts, kept and undone
    current: Step | None  # the attempt under way
    worst: list[str] = field(default_factory=list)  # lines on the photos that the result gets wrong, the start not

    @property
    def kept(self) -> list[Step]:
        """The steps that were kept."""
        return [step for step in self.steps if step.kept]

    @property
    def networks(self) -> list[Measurement]:
        """The start and the result of every kept step."""
        return [self.start, *(step.network for step in self.kept)]

    def check(self, file: Path) -> None:
        """Raise InputError for values that contradict each other; file: where they were read."""
        for place, step in enumerate(self.steps):
            if step.kept is None:
                raise InputError(f"{file}: steps[{place}].kept: must be true or false")
            if step.kept and step.network is None:
                raise InputError(f"{file}: steps[{place}].finetuned: null must be measurements: the step was kept")
        if self.delivered != len(self.kept):
            raise InputError(f"{file}: delivered: {self.delivered} must be {len(self.kept)}, the steps that were kept")
        if self.phase and not self.current:
            raise InputError(f"{file}: phase: must be null where no step is under way")


class SlimRun:
    """A run of slim.py: its folder, its state, and the clock; every change is written to slim.json."""

    def __init__(self, folder: Path, state: SlimState, clock: Callable[[], float] = time.monotonic):
        """clock: returns seconds."""
        self.folder, self.state, self.clock = Path(folder), state, clock
        self.before, self.began = state.seconds, clock()

    @classmethod
    def create(
        cls,
        folder: Path,
        settings: dict[str, Any],
        goal: str,
        start: Measurement,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = datetime.now,
    ) -> "SlimRun":
        """Return a new run: its settings, its goal in words, measurements of its start."""
        state = SlimState(
            version=VERSION,
            options=settings,
            goal=goal,
            begun=now().isoformat(timespec="seconds"),
            seconds=0.0,
            finished=False,
            reason=None,
            delivered=0,
            output=None,
            phase=None,
            start=start,
            steps=[],
            current=None,
        )
        return cls(folder, state, clock)

    @classmethod
    def read(cls, folder: Path, clock: Callable[[], float] = time.monotonic) -> "SlimRun":
        """Return the run in a folder. Raises InputError when its slim.json is not as slim.py writes it."""
        return cls(folder, read_state(Path(folder) / FILE), clock)

    @property
    def seconds(self) -> float:
        """Seconds that all runs of the command took together."""
        return self.before + self.clock() - self.began

    @property
    def phase_seconds(self) -> float:
        """Seconds that the phase has taken so far."""
        return self.seconds - self.state.phase.began

    def save(self) -> None:
        """Write slim.json."""
        self.state.seconds = round(self.seconds, 3)
        write_json(self.folder / FILE, self.state)

    def begin_step(self, step: Step) -> None:
        """Note that a step begins."""
        self.state.current = step
        self.save()

    def enter(self, name: str, epochs: int | None = None) -> None:
        """Note that a phase of the current step begins, or goes on when it is the one that was interrupted."""
        step, phase = self.state.current, self.state.phase
        place = (step.number, step.attempt, name)
        if phase is None or (phase.step, phase.attempt, phase.name) != place:
            kind: Any = name
            self.state.phase = Phase(step.number, step.attempt, kind, 0, epochs, self.seconds)
        self.save()

    def epoch_done(self, epoch: int) -> None:
        """Note how many epochs of the phase are done."""
        self.state.phase.epoch = epoch
        self.save()

    def leave(self, key: str, found: Measurement) -> None:
        """Note that the phase is over, and what it made: key is sparse, pruned or finetuned."""
        setattr(self.state.current, key, found)
        self.state.current.seconds[self.state.phase.name] = round(self.phase_seconds, 3)
        self.save()

    def conclude_step(self, kept: bool, why: str) -> None:
        """Move the current step to the finished ones."""
        step, state = self.state.current, self.state
        step.kept, step.why = kept, why
        state.steps.append(step)
        state.delivered = len(state.kept)
        state.current = state.phase = None
        self.save()

    def finish(self, reason: str, output: Path) -> None:
        """Note why the run is over and where its result lies."""
        state = self.state
        state.finished, state.reason, state.output = True, reason, str(output)
        state.current = state.phase = None
        self.save()


def read_state(file: Path) -> SlimState:
    """Return the content of a slim.json. Raises InputError that names the file and the key."""
    state = read_json(file, SlimState, "the state of a run")
    state.check(file)
    return state


def unfinished(options: SlimOptions, file: str = FILE, read: Callable[[Path], Any] = read_state) -> Path | None:
    """Return the folder of the unfinished run that SlimOptions continue, or None.

    It is project/name or what new_run made of that: name2, name3, … file, read: name of the state in it, and what reads
    it. Raises InputError that lists the differences when its settings are others.
    """
    number, folder = 2, Path(options.project) / options.name
    while folder.exists():
        if (folder / file).is_file():
            state = read(folder / file)
            if not state.finished:
                refuse_others(folder, state.options, options.settings())
                return folder
        folder, number = Path(options.project) / f"{options.name}{number}", number + 1
    return None


def refuse_others(folder: Path, stored: dict[str, Any], given: dict[str, Any]) -> None:
    """Raise InputError when the settings of an unfinished run are not those given, both {key: value}.

    A setting that slim.py did not have when the run began counts as being at its default.
    """
    usual = SlimOptions().settings()
    stored = {**{key: usual[key] for key in given if key in usual}, **stored}
    other = [key for key in {**stored, **given} if stored.get(key, ABSENT) != given.get(key, ABSENT)]
    if other:
        lines = [f"  {key}: {stored.get(key, ABSENT)} there, {given.get(key, ABSENT)} now" for key in other]
        raise InputError(
            "\n".join(
                [
                    f"{folder}: is unfinished and has other settings:",
                    *lines,
                    "give the same again to continue it, or --name NEW to start another",
                ]
            )
        )
