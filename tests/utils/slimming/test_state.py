"""slim.json: what is noted when, and which unfinished run a command continues."""

import json
import re

import pytest

from utils.errors import InputError
from utils.slimming.options import SlimOptions
from utils.slimming.state import FILE, Record, read_content, refuse_others, unfinished

START = {"map": 0.5, "file": "start/start.pt"}
STEP = {
    "number": 1,
    "attempt": 1,
    "share": 0.5,
    "sparse": None,
    "pruned": None,
    "finetuned": None,
    "result": None,
    "seconds": {},
}


class Clock:
    """Shows what it is set to."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def record(tmp_path, clock):
    made = Record.create(tmp_path, {"steps": 1}, "as small as can be", START, clock)
    made.content["current"] = {**STEP, "seconds": {}}
    return made


def test_the_clock_goes_on_where_an_interrupted_run_stopped(record, clock, tmp_path):
    clock.now += 7
    record.enter("sparse", 30)
    clock.now += 20
    record.epoch_done(4)
    assert json.loads((tmp_path / FILE).read_text())["phase"] == {
        "step": 1,
        "attempt": 1,
        "name": "sparse",
        "epoch": 4,
        "epochs": 30,
        "began": 7.0,
    }
    clock.now += 1000  # between the runs
    again = Record.read(tmp_path, clock)
    again.enter("sparse", 30)  # the same phase
    clock.now += 3
    assert again.seconds == 30 and again.phase_seconds == 23
    assert again.content["phase"]["epoch"] == 4
    again.leave(sparse={"map": 0.4})
    again.enter("cut")
    assert again.current["seconds"] == {"sparse": 23} and again.current["sparse"] == {"map": 0.4}
    assert again.content["phase"]["name"] == "cut" and again.phase_seconds == 0


def test_only_kept_steps_count(record):
    for number, kept in ((1, True), (2, False), (2, True)):
        record.content["current"] = {
            **STEP,
            "number": number,
            "finetuned": {"map": number},
            "pruned": {"map": -1},
            "result": "finetuned",
        }
        record.conclude_step(kept, "why")
    assert record.points == [START, {"map": 1}, {"map": 2}] and record.content["delivered"] == 2
    assert record.current is None and [step["kept"] for step in record.content["steps"]] == [True, False, True]


def test_the_unfinished_run_of_a_name_is_continued(tmp_path):
    options = SlimOptions(steps=1, project=str(tmp_path))
    assert unfinished(options) is None
    for name, finished in (("exp", True), ("exp2", False)):
        (tmp_path / name).mkdir()
        record = Record.create(tmp_path / name, options.settings(), "", START)
        record.content["finished"] = finished
        record.save()
    (tmp_path / "exp3").mkdir()  # not one of slim.py's
    assert unfinished(options) == tmp_path / "exp2"
    assert unfinished(SlimOptions(steps=1, project=str(tmp_path), config="other.yaml")) == tmp_path / "exp2"
    assert unfinished(SlimOptions(steps=1, project=str(tmp_path), name="exp3")) is None


def test_other_settings_are_listed_line_by_line(tmp_path):
    with pytest.raises(InputError) as error:
        refuse_others(tmp_path, {"share": 0.5, "steps": 1, "gone": 3}, {"share": 0.3, "steps": 1, "new": None})
    assert str(error.value).splitlines() == [
        f"{tmp_path}: is unfinished and has other settings:",
        "  share: 0.5 there, 0.3 now",
        "  gone: 3 there, not set now",
        "  new: not set there, None now",
        "give the same again to continue it, or --name NEW to start another",
    ]


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 99}'])
def test_a_damaged_record_is_named(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(InputError, match=re.escape(str(tmp_path / FILE))):
        read_content(tmp_path / FILE)
