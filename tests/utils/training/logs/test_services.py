"""The loggers beside TensorBoard, with libraries that only write down what they are asked for."""

import pytest

from utils.errors import InputError
from utils.training.logs.choice import SERVICES, check_loggers, make_loggers
from utils.training.logs.clearml import ClearmlHook
from utils.training.logs.comet import CometHook
from utils.training.logs.mlflow import MlflowHook
from utils.training.logs.service import ServiceHook
from utils.training.logs.wandb import WandbHook
from utils.training.options import LOGGERS

SETTINGS = {"epochs": 3, "lr0": 0.01}


class Library:
    """Stands for any part of a library: calls are noted by their dotted name, and give what `given` says."""

    def __init__(self, given=None, calls=None, name=""):
        self.given, self.calls, self.name = given or {}, [] if calls is None else calls, name

    def __getattr__(self, key):
        name = f"{self.name}.{key}".lstrip(".")
        return self.given[name] if name in self.given else Library(self.given, self.calls, name)

    def __getitem__(self, key):
        return None

    def __call__(self, *args, **options):
        self.calls.append((self.name, args, options))
        return Library(self.given, self.calls, f"{self.name}()")

    def of(self, name):
        """Return the (args, options) of all calls of a name."""
        return [(args, options) for called, args, options in self.calls if called == name]


LIBRARIES = {
    MlflowHook: {"start_run().info.run_id": "7"},
    WandbHook: {"init().id": "7", "Settings().project": None},
    ClearmlHook: {"Task.init().id": "7"},
    CometHook: {"Experiment().get_key": lambda: "7", "ExistingExperiment().get_key": lambda: "7"},
}


@pytest.fixture
def run(make_state):
    state = make_state()
    state.folder.weights.mkdir()
    state.folder.best.write_bytes(b"")
    state.written = {state.folder.best, state.folder.last}
    state.log = {"train/box_loss": 0.5, "metrics/mAP_0.5:0.95": 0.25, "val/box_loss": float("nan")}
    return state


def logged(kind, run, hook_id=None):
    """Return the Library after a run of one epoch, and the hook."""
    library = Library(LIBRARIES[kind])
    hook = kind(library, SETTINGS)
    hook.load_state_dict({"id": hook_id})
    for moment in (hook.start, hook.after_validation, hook.finish):
        moment(run)
    return library, hook


@pytest.mark.parametrize("kind", SERVICES)
def test_a_service_gets_numbers_and_the_weights_to_use(kind, run, capsys):
    library, hook = logged(kind, run)
    said = repr(library.calls)
    assert "0.25" in said and "0.5" in said and "nan" not in said and str(run.folder.best) in said
    assert hook.state_dict() == {"id": "7"} and not hook.lost
    assert run.folder.path.name in said and run.folder.path.parent.name in said
    assert capsys.readouterr().err == ""


def test_mlflow_takes_names_of_few_characters(run):
    library, _ = logged(MlflowHook, run)
    ((numbers,), options) = library.of("log_metrics")[0]
    assert numbers == {"train/box_loss": 0.5, "metrics/mAP_0.5-0.95": 0.25} and options == {"step": 0}
    assert library.of("log_params") == [(({"epochs": "3", "lr0": "0.01"},), {})]
    assert library.of("end_run") == [((), {})]


def test_each_number_has_its_chart_in_clearml(run):
    library, _ = logged(ClearmlHook, run)
    scalars = [args for args, _ in library.of("Task.init().get_logger().report_scalar")]
    assert scalars == [("train", "box_loss", 0.5, 0), ("metrics", "mAP_0.5:0.95", 0.25, 0)]


@pytest.mark.parametrize(
    ("kind", "call", "key"),
    [
        (MlflowHook, "start_run", "run_id"),
        (WandbHook, "init", "id"),
        (ClearmlHook, "Task.init", "continue_last_task"),
        (CometHook, "ExistingExperiment", "previous_experiment"),
    ],
)
def test_a_resumed_run_goes_on_in_its_record(kind, call, key, run):
    library, _ = logged(kind, run, hook_id="7")
    ((_, options),) = library.of(call)
    assert options[key] == "7"


class Faulty(ServiceHook):
    """A service that fails when `when` comes."""

    flag, module = "mlflow", "mlflow"

    def __init__(self, when):
        super().__init__(None, SETTINGS)
        self.when, self.done = when, []

    def step(self, name, *_):
        self.done.append(name)
        if name == self.when:
            raise ConnectionError("no answer\nmore")
        return "7"

    open = lambda self, *args: self.step("open")  # noqa: E731
    log = lambda self, *args: self.step("log")  # noqa: E731
    keep = lambda self, *args: self.step("keep")  # noqa: E731
    close = lambda self, *args: self.step("close")  # noqa: E731


def test_a_service_that_refuses_ends_the_run_before_it_begins(run):
    with pytest.raises(InputError, match="^--logger mlflow: no answer$"):
        Faulty("open").start(run)


def test_a_service_that_fails_later_is_given_up(run, capsys):
    hook = Faulty("log")
    for moment in (hook.start, hook.after_validation, hook.after_validation, hook.finish):
        moment(run)
    assert hook.done == ["open", "log"]
    assert capsys.readouterr().err == "--logger mlflow: no answer; the run goes on without it\n"


def test_a_package_that_is_missing_is_named():
    check_loggers(LOGGERS, find=lambda module: module)
    check_loggers(["tensorboard"], find=lambda module: None)
    with pytest.raises(InputError, match="--logger comet: .* pip install comet_ml"):
        check_loggers(["tensorboard", "comet"], find=lambda module: None)


def test_every_logger_has_a_hook():
    assert ["tensorboard", *(kind.flag for kind in SERVICES)] == list(LOGGERS)
    assert [type(hook).__name__ for hook in make_loggers(["tensorboard"], SETTINGS, False, print)] == [
        "TensorBoardHook"
    ]
