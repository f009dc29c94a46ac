"""slim.json: what is noted when, what is refused, and which unfinished run a command continues."""

import copy
import json
import re
from dataclasses import asdict

import pytest

from utils.errors import InputError
from utils.files.typed_json import typed, write_json
from utils.slimming.options import SlimOptions
from utils.slimming.state import FILE, SlimRun, SlimState, Step, read_state, refuse_others, unfinished


class Clock:
    """Shows what it is set to."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def run(tmp_path, clock, measurements):
    made = SlimRun.create(tmp_path, {"steps": 1}, "as small as can be", measurements(), clock)
    made.begin_step(Step(1, 1, 0.5, 0.5))
    return made


def test_the_clock_goes_on_where_an_interrupted_run_stopped(run, clock, tmp_path, measurements):
    clock.now += 7
    run.enter("sparse", 30)
    clock.now += 20
    run.epoch_done(4)
    assert json.loads((tmp_path / FILE).read_text())["phase"] == {
        "step": 1,
        "attempt": 1,
        "name": "sparse",
        "epoch": 4,
        "epochs": 30,
        "began": 7.0,
    }
    clock.now += 1000  # between the runs
    again = SlimRun.read(tmp_path, clock)
    again.enter("sparse", 30)  # the same phase
    clock.now += 3
    assert again.seconds == 30 and again.phase_seconds == 23
    assert again.state.phase.epoch == 4
    again.leave("sparse", measurements(map=0.4))
    again.enter("cut")
    assert again.state.current.seconds == {"sparse": 23} and again.state.current.sparse.map == 0.4
    assert again.state.phase.name == "cut" and again.phase_seconds == 0


def test_only_kept_steps_count(run, measurements):
    for number, kept in ((1, True), (2, False), (2, True)):
        finetuned, pruned = measurements(map=number / 10), measurements(map=0.9)
        run.begin_step(Step(number, 1, 0.5, 0.5, finetuned=finetuned, pruned=pruned, result="finetuned"))
        run.conclude_step(kept, "why")
    assert [network.map for network in run.state.networks] == [0.586, 0.1, 0.2] and run.state.delivered == 2
    assert run.state.current is None and [step.kept for step in run.state.steps] == [True, False, True]


def test_what_was_written_is_read_again(finished, unfinished, tmp_path):
    for state in (finished, unfinished):
        write_json(tmp_path / FILE, state)
        assert read_state(tmp_path / FILE) == state


def old_form(state):
    """Return the content of slim.json as slim.py wrote it at first: without what there is none of."""
    content = asdict(state)
    for network in (content["start"], *(s[k] for s in content["steps"] for k in ("sparse", "pruned", "finetuned"))):
        if network:
            del network["goal_ms"]
    if content["current"]:
        del content["current"]["kept"], content["current"]["why"]
    return json.loads(json.dumps(content))


def test_a_file_in_the_old_form_is_read(finished, unfinished, tmp_path):
    for state in (finished, unfinished):
        content = old_form(state)
        (tmp_path / FILE).write_text(json.dumps(content, indent=1))
        assert read_state(tmp_path / FILE) == state


def test_rates_are_read(finished, tmp_path):
    content = old_form(finished)
    rates = {"rates": [1e-8, 2e-8, 3], "constant": 0.5, "block": 8, "image_size": 64, "error": 0.01}
    content["steps"][0]["rates"] = rates
    (tmp_path / FILE).write_text(json.dumps(content))
    found = read_state(tmp_path / FILE).steps[0].rates
    assert (found.rates, found.block) == ((1e-8, 2e-8, 3.0), 8)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda c: c.update(version=2), "version"),
        (lambda c: c.update(steps={}), "steps"),
        (lambda c: c.update(finished=1), "finished"),
        (lambda c: c.update(delivered="2"), "delivered"),
        (lambda c: c.update(delivered=3), "delivered"),
        (lambda c: c.update(delivered=True), "delivered"),
        (lambda c: c.pop("begun"), "begun"),
        (lambda c: c.update(beginn=1), "beginn"),
        (lambda c: c.update(start=None), "start"),
        (lambda c: c["start"].update(map="0.5"), "start.map"),
        (lambda c: c["start"].update(parameters=1.5), "start.parameters"),
        (lambda c: c["start"].pop("file"), "start.file"),
        (lambda c: c["start"]["l1"].update({"model.0.conv": "x"}), "start.l1.model.0.conv"),
        (lambda c: c["steps"][1].update(result="sparse"), "steps[1].result"),
        (lambda c: c["steps"][1]["seconds"].update(sparse=None), "steps[1].seconds.sparse"),
        (lambda c: c["steps"][1].update(kept=None), "steps[1].kept"),
        (lambda c: c["steps"][0].update(finetuned=None, pruned=None), "steps[0].finetuned"),
        (lambda c: c["steps"][0].update(rates={"rates": [1, 2]}), "steps[0].rates"),
        (
            lambda c: c.update(phase={"step": 1, "attempt": 1, "name": "x", "epoch": 1, "epochs": 1, "began": 0}),
            "phase",
        ),
    ],
)
def test_a_tampered_file_is_one_line_with_file_and_key(finished, tmp_path, change, key):
    content = old_form(finished)
    change(content)
    (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        read_state(tmp_path / FILE)
    assert str(error.value).startswith(f"{tmp_path / FILE}: {key}") and "\n" not in str(error.value)


def test_any_single_wrong_value_is_refused_or_harmless(finished):
    """Every leaf of the file in turn becomes a list of lists: nothing but InputError or a state comes of it."""
    content = old_form(finished)

    def places(value, path=()):
        if isinstance(value, dict) and path[:1] != ("options",):
            for key, part in value.items():
                yield from places(part, (*path, key))
        elif isinstance(value, list) and path[:1] != ("options",):
            for key, part in enumerate(value):
                yield from places(part, (*path, key))
        else:
            yield path

    refused = 0
    for path in places(content):
        other = copy.deepcopy(content)
        place = other
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = [[]]
        with pytest.raises(InputError):
            typed(SlimState, other, FILE, "")
        refused += 1
    assert refused > 200


def test_the_unfinished_run_of_a_name_is_continued(tmp_path, measurements):
    options = SlimOptions(steps=1, project=str(tmp_path))
    assert unfinished(options) is None
    for name, finished in (("exp", True), ("exp2", False)):
        (tmp_path / name).mkdir()
        run = SlimRun.create(tmp_path / name, options.settings(), "", measurements())
        run.state.finished = finished
        run.save()
    (tmp_path / "exp3").mkdir()  # not one of slim.py's
    assert unfinished(options) == tmp_path / "exp2"
    assert unfinished(SlimOptions(steps=1, project=str(tmp_path), config="other.yaml")) == tmp_path / "exp2"
    assert unfinished(SlimOptions(steps=1, project=str(tmp_path), epochs=60)) == tmp_path / "exp2"
    assert unfinished(SlimOptions(steps=1, project=str(tmp_path), name="exp3")) is None


def test_a_setting_that_came_later_counts_as_its_default(tmp_path):
    given = SlimOptions(steps=1).settings()
    stored = {key: value for key, value in given.items() if key not in ("skip_bad_labels", "weights")}
    refuse_others(tmp_path, stored, given)
    with pytest.raises(InputError, match="skip_bad_labels: False there, True now"):
        refuse_others(tmp_path, stored, {**given, "skip_bad_labels": True})


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
        read_state(tmp_path / FILE)
