"""slim.json: all that a run of slim.py has done and is doing, from which it also continues."""

import json
import time
from datetime import datetime
from pathlib import Path

from utils.errors import InputError
from utils.files.atomic import write_atomically

VERSION = 1
FILE = "slim.json"
ABSENT = "not set"


class Record:
    """The content of a slim.json, written anew whenever it changes.

    content: plain values. Besides what the report shows it holds `current`, the step that is under way, in the form of
    those in `steps`; what is None in it is still to be done.
    """

    def __init__(self, folder, content, clock=time.monotonic):
        """folder: Path of the run; clock: callable that returns seconds."""
        self.folder, self.content, self.clock = Path(folder), content, clock
        self.before, self.began = content["seconds"], clock()

    @classmethod
    def create(cls, folder, settings, goal, start, clock=time.monotonic, now=datetime.now):
        """Return the Record of a new run: settings {key: value}, its goal in words, measurements of its start."""
        content = {
            "version": VERSION,
            "options": settings,
            "goal": goal,
            "begun": now().isoformat(timespec="seconds"),
            "seconds": 0.0,
            "finished": False,
            "reason": None,
            "delivered": 0,
            "output": None,
            "phase": None,
            "start": start,
            "steps": [],
            "current": None,
        }
        return cls(folder, content, clock)

    @classmethod
    def read(cls, folder, clock=time.monotonic):
        """Return the Record in a folder. Raises InputError when it cannot be read."""
        return cls(folder, read_content(Path(folder) / FILE), clock)

    @property
    def seconds(self):
        """Seconds that all runs of the command took together."""
        return self.before + self.clock() - self.began

    @property
    def current(self):
        """The step under way, or None."""
        return self.content["current"]

    @property
    def kept(self):
        """The steps that were kept."""
        return [step for step in self.content["steps"] if step["kept"]]

    @property
    def points(self):
        """Measurements of the start and of the result of every kept step."""
        return [self.content["start"], *map(result, self.kept)]

    def save(self):
        """Write the file."""
        self.content["seconds"] = round(self.seconds, 3)
        write_atomically(self.folder / FILE, json.dumps(self.content, indent=1).encode())

    def enter(self, name, epochs=None):
        """Note that a phase of the current step begins, or goes on when it is the one that was interrupted."""
        place = {"step": self.current["number"], "attempt": self.current["attempt"], "name": name}
        phase = self.content["phase"] or {}
        if {key: phase.get(key) for key in place} != place:
            self.content["phase"] = {**place, "epoch": 0, "epochs": epochs, "began": self.seconds}
        self.save()

    def epoch_done(self, epoch):
        """Note how many epochs of the phase are done."""
        self.content["phase"]["epoch"] = epoch
        self.save()

    @property
    def phase_seconds(self):
        """Seconds that the phase has taken so far."""
        return self.seconds - self.content["phase"]["began"]

    def leave(self, **found):
        """Note that the phase is over, and what it found."""
        self.current.update(found)
        self.current["seconds"][self.content["phase"]["name"]] = round(self.phase_seconds, 3)
        self.save()

    def conclude_step(self, kept, why):
        """Move the current step to the finished ones."""
        self.content["steps"].append({**self.current, "kept": kept, "why": why})
        self.content["delivered"] = len(self.kept)
        self.content["current"] = self.content["phase"] = None
        self.save()

    def finish(self, reason, output):
        """Note why the run is over and where its result lies."""
        self.content |= {"finished": True, "reason": reason, "output": str(output), "current": None, "phase": None}
        self.save()


def result(step):
    """Return the measurements of the network that a finished step ended with."""
    return step[step["result"]]


def read_content(file):
    """Return the content of a slim.json or sweep.json. Raises InputError when it cannot be read."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({error}); remove its folder or give another --name") from None
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise InputError(f"{file}: is of another version; give another --name")
    return content


def unfinished(options, file=FILE):
    """Return the folder of the unfinished run that SlimOptions continue, or None.

    It is project/name or what new_run made of that: name2, name3, … file: name of the record in it. Raises InputError
    that lists the differences when its settings are others.
    """
    number, folder = 2, Path(options.project) / options.name
    while folder.exists():
        if (folder / file).is_file():
            content = read_content(folder / file)
            if not content["finished"]:
                defaults = type(options)().settings()  # a run may be older than a flag
                refuse_others(folder, defaults | content["options"], options.settings())
                return folder
        folder, number = Path(options.project) / f"{options.name}{number}", number + 1
    return None


def refuse_others(folder, stored, given):
    """Raise InputError when the settings of an unfinished run are not those given, both {key: value}."""
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
