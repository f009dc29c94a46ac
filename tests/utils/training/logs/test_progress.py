import io
from types import SimpleNamespace

from utils.training.logs.progress import ProgressHook


def test_progress_without_a_terminal_is_one_line_an_epoch(make_state):
    stream, clock = io.StringIO(), SimpleNamespace(now=10.0)
    hook, run = ProgressHook(stream, lambda: clock.now), make_state(epoch=1)
    hook.start(run)
    hook.before_epoch(run)
    hook.after_batch(run, None, None, None)
    clock.now += 2.5
    hook.after_validation(run)
    head, line = stream.getvalue().splitlines()
    assert len(head) == len(line)
    assert dict(zip(head.split(), line.split())) == {
        "epoch": "1/2",
        "box": "0.1",
        "obj": "0.2",
        "cls": "0.3",
        "instances": "7",
        "size": "64",
        "mAP50": "0.5",
        "mAP50-95": "0.25",
        "time": "2.5s",
    }


def test_a_long_epoch_without_a_terminal_says_how_long_the_run_takes(make_state):
    stream, clock = io.StringIO(), SimpleNamespace(now=0.0)
    hook, run = ProgressHook(stream, lambda: clock.now), make_state(epoch=1)
    hook.start(run)
    hook.before_epoch(run)
    clock.now = 20.0
    hook.after_batch(run, None, None, None)
    line = stream.getvalue().splitlines()[-1]
    assert line == "training, epoch 1/2: 3 of 6 batches (50%), 00:20 so far, about 01:00 left"


def test_progress_on_a_terminal_is_a_bar(make_state):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream, run = Terminal(), make_state()
    hook = ProgressHook(stream)
    hook.start(run)
    hook.before_epoch(run)
    for _ in range(2):
        hook.after_batch(run, None, None, None)
    hook.after_validation(run)
    assert "2/2" in stream.getvalue() and "0.25" in stream.getvalue().splitlines()[-1]


def test_the_memory_of_a_gpu_is_a_column_of_its_own(make_state):
    stream = io.StringIO()
    hook, run = ProgressHook(stream, lambda: 0.0, memory=lambda device: 2_345_000_000), make_state()
    hook.start(run)
    hook.before_epoch(run)
    hook.after_validation(run)
    head, line = stream.getvalue().splitlines()
    assert head.endswith("  GPU GB") and line.endswith(" 2.35") and len(head) == len(line)
