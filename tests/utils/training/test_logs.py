import io
from types import SimpleNamespace

import pytest
import torch

from utils.files.paths import RunFolder
from utils.training.gamma_log import batch_norm_weights
from utils.training.logs import CSV_COLUMNS, CsvHook, ProgressHook, TensorBoardHook
from utils.training.run import BatchNumbers


def run_state(tmp_path, model=None, epoch=0):
    return SimpleNamespace(
        model=model,
        epoch=epoch,
        epochs=3,
        folder=RunFolder(tmp_path),
        losses=torch.tensor([0.1, 0.2, 0.3]),
        batch=BatchNumbers(instances=7, size=64),
        schedule=SimpleNamespace(batches=2),
        log={"train/box_loss": 0.123456789, "x/lr0": 0.1, "extra": 5.0},
        evaluation=SimpleNamespace(map50=0.5, map=0.25),
    )


def test_csv_has_the_public_columns(tmp_path):
    hook, run = CsvHook(), run_state(tmp_path)
    hook.start(run)
    hook.after_validation(run)
    head, row = run.folder.results_csv.read_text().splitlines()
    assert [name.strip() for name in head.split(",")] == ["epoch", *CSV_COLUMNS]
    cells = dict(zip(["epoch", *CSV_COLUMNS], map(str.strip, row.split(","))))
    assert (cells["epoch"], cells["train/box_loss"], cells["x/lr0"]) == ("0", "0.12346", "0.1")
    assert cells["metrics/mAP_0.5"] == "nan"


def test_resumed_csv_drops_the_rows_that_come_again(tmp_path):
    hook = CsvHook()
    hook.start(run_state(tmp_path))
    for epoch in range(3):
        hook.after_validation(run_state(tmp_path, epoch=epoch))
    whole = RunFolder(tmp_path).results_csv.read_text()
    resumed = CsvHook()
    resumed.start(run_state(tmp_path, epoch=2))
    resumed.after_validation(run_state(tmp_path, epoch=2))
    assert RunFolder(tmp_path).results_csv.read_text() == whole


def test_progress_without_a_terminal_is_one_line_an_epoch(tmp_path):
    stream, times = io.StringIO(), iter([10.0, 12.5])
    hook, run = ProgressHook(stream, lambda: next(times)), run_state(tmp_path, epoch=1)
    hook.start(run)
    hook.before_epoch(run)
    hook.after_batch(run, None, None, None)
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


def test_progress_on_a_terminal_is_a_bar(tmp_path):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream, run = Terminal(), run_state(tmp_path)
    hook = ProgressHook(stream)
    hook.start(run)
    hook.before_epoch(run)
    for _ in range(2):
        hook.after_batch(run, None, None, None)
    hook.after_validation(run)
    assert "2/2" in stream.getvalue() and "0.25" in stream.getvalue().splitlines()[-1]


def test_tensorboard_gets_numbers_and_gammas(tmp_path, tiny_model):
    written = {}

    class Writer:
        def __init__(self, folder, first_epoch):
            self.first = first_epoch

        def add_scalar(self, name, value, step):
            written[name] = (value, step)

        def add_histogram(self, name, values, step):
            written[name] = (len(values), step)

        def flush(self):
            pass

        def close(self):
            written["closed"] = True

    with torch.no_grad():
        tiny_model.model[0].bn.weight.zero_()
    hook, run = TensorBoardHook(Writer), run_state(tmp_path, tiny_model, epoch=4)
    hook.start(run)
    hook.after_validation(run)
    hook.finish(run)
    total = sum(len(weight) for weight in batch_norm_weights(tiny_model).values())
    assert hook.writer.first == 4 and written["extra"] == (5.0, 4) and written["closed"]
    assert written["bn/model.0.bn"] == (8, 4) and written["bn/all"] == (total, 4)
    assert written["bn/share_below_0.001"] == pytest.approx((8 / total, 4))
