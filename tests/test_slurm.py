"""The scripts for Slurm can be read by bash, and ask for what their comments say."""

import subprocess

import pytest

from utils.files.paths import ROOT

SCRIPTS = sorted((ROOT / "examples/slurm").glob("*.sbatch"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_bash_can_read_it(script):
    done = subprocess.run(["/bin/bash", "-n", str(script)], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr


STAND_INS = """
scontrol() {{ printf 'node1\\nnode2\\n'; }}
srun() {{ printf '%s\\n' "$@" > "{said}"; }}
export SLURM_JOB_NODELIST=node[1-2] SLURM_JOB_ID=7 SLURM_NNODES=2 PROJECT="{project}"
set -- --weights a.pt
. "{script}"
"""


def words_of_srun(tmp_path):
    """Return the words that the script gives to srun, which is a stand-in here; none when it ends before."""
    said = tmp_path / "said"
    said.unlink(missing_ok=True)
    script = ROOT / "examples/slurm/train.sbatch"
    lines = STAND_INS.format(said=said, project=tmp_path / "runs", script=script)
    subprocess.run(["/bin/bash", "-c", lines], check=True, capture_output=True)
    return said.read_text().splitlines() if said.exists() else []


def test_a_job_that_is_queued_again_goes_on_and_a_finished_one_ends(tmp_path):
    first = words_of_srun(tmp_path)
    assert first[first.index("--rdzv-endpoint") + 1] == "node1:29500"
    assert first[first.index("--max-restarts") + 1] == "3"
    project = str(tmp_path / "runs")
    assert first[-8:] == ["train.py", "--weights", "a.pt", "--project", project, "--name", "job7", "--exist-ok"]
    last = tmp_path / "runs/job7/weights/last.pt"
    last.parent.mkdir(parents=True)
    last.touch()
    assert words_of_srun(tmp_path)[-3:] == ["train.py", "--resume", str(last)]
    (tmp_path / "runs/job7/final.json").touch()
    assert words_of_srun(tmp_path) == []
