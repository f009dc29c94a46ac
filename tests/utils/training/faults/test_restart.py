"""Two gloo processes under torchrun: one is killed, all are started again, and the run goes on from its last.pt."""

import json
import subprocess
import sys
from collections import Counter
from datetime import timedelta

import pytest

from utils.files.checkpoint import load_checkpoint
from utils.files.paths import ROOT, RunFolder
from utils.training.loop import Hook
from utils.training.options import TrainOptions
from utils.training.train import train

SCRIPT = """
import json, os, signal, sys, time
from datetime import timedelta
from pathlib import Path
import torch
from utils.training.distributed import connected, process_group
from utils.training.loop import Hook
from utils.training.options import TrainOptions
from utils.training.train import train

values, cut, seen = json.loads(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
processes = process_group()
name = f"{processes.rank}-{processes.attempt}"

class Watch(Hook):
    def start(self, run):
        self.first, self.paths = run.epoch, []

    def before_epoch(self, run):
        if run.epoch == 1 and processes.rank == 1 and processes.attempt == 0:
            while not run.folder.last.is_file():  # rank 0 may be at it still, and is ended with this one
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)

    def after_batch(self, run, images, targets, paths):
        self.paths += [[run.epoch, path] for path in paths]

    def finish(self, run):
        (seen / name).write_text(json.dumps([self.first, self.paths]))

if processes.attempt == 0:
    with connected(processes, torch.device("cpu"), timedelta(seconds=4)):
        with processes.main_first():
            if processes.main:
                time.sleep(5)  # longer than the collectives would wait
        assert processes.broadcast(processes.rank) == 0
run = train(TrainOptions(**values), hooks=[Watch()])
assert (run.evaluation is not None) == processes.main and run.step == run.total_steps
run = train(TrainOptions(resume=cut))
assert run.step == run.total_steps
"""


@pytest.mark.slow
def test_a_killed_process_is_started_again_and_other_numbers_of_processes_resume(tmp_path, tiny_yaml, drawn_data):
    class Cut(Hook):
        def before_epoch(self, run):
            if run.epoch == 1:
                raise KeyboardInterrupt

    values = {"weights": "", "cfg": str(tiny_yaml), "data": str(drawn_data), "imgsz": 64, "batch_size": 4}
    values |= {"epochs": 3, "workers": 0, "device": "cpu", "project": str(tmp_path / "runs"), "noplots": True}
    with pytest.raises(KeyboardInterrupt):
        train(TrainOptions(**values, name="cut", image_weights=True), hooks=[Cut()], quiet=True)
    cut = RunFolder(tmp_path / "runs/cut")
    script, seen = tmp_path / "script.py", tmp_path / "seen"
    script.write_text(SCRIPT)
    seen.mkdir()
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    done = subprocess.run(
        [sys.executable, *torchrun, str(script), json.dumps(values), str(cut.last), str(seen)],
        capture_output=True,
        text=True,
        timeout=timedelta(minutes=4).total_seconds(),
        env={"PATH": "", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in seen.iterdir()) == ["0-1", "1-1"]  # rank and attempt of what came to its end
    parts = [json.loads(path.read_text()) for path in seen.iterdir()]
    assert [first for first, _ in parts] == [1, 1]  # epoch 0 was not done again
    counts = Counter((epoch, path) for _, paths in parts for epoch, path in paths)
    assert len(counts) == 2 * 8 and set(counts.values()) == {1}  # each image once an epoch, in one of the processes
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["cut", "exp"]
    for folder in (cut, RunFolder(tmp_path / "runs/exp")):
        rows = folder.results_csv.read_text().splitlines()[1:]
        assert [int(row.split(",")[0]) for row in rows] == [0, 1, 2]
        assert load_checkpoint(folder.last).finished
