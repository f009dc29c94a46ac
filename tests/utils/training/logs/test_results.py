from utils.files.paths import RunFolder
from utils.training.logs.results import CSV_COLUMNS, CsvHook


def test_csv_has_the_public_columns(tmp_path, make_state):
    hook, run = CsvHook(), make_state()
    hook.start(run)
    hook.after_validation(run)
    head, row = run.folder.results_csv.read_text().splitlines()
    assert [name.strip() for name in head.split(",")] == ["epoch", *CSV_COLUMNS]
    cells = dict(zip(["epoch", *CSV_COLUMNS], map(str.strip, row.split(","))))
    assert (cells["epoch"], cells["train/box_loss"], cells["x/lr0"]) == ("0", "0.12346", "0.1")
    assert cells["metrics/mAP_0.5"] == "nan"


def test_resumed_csv_drops_the_rows_that_come_again(tmp_path, make_state):
    hook = CsvHook()
    hook.start(make_state())
    for epoch in range(3):
        hook.after_validation(make_state(epoch=epoch))
    whole = RunFolder(tmp_path).results_csv.read_text()
    resumed = CsvHook()
    resumed.start(make_state(epoch=2))
    resumed.after_validation(make_state(epoch=2))
    assert RunFolder(tmp_path).results_csv.read_text() == whole
