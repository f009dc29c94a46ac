"""The notebook runs from its first cell to its last, on less data."""

import json

import pytest

from models.cost import count_parameters
from utils.files.checkpoint import load_checkpoint
from utils.files.paths import ROOT


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """The variables that the cells of the notebook leave, run in an empty folder."""
    cells = json.loads((ROOT / "examples/tutorial.ipynb").read_text(encoding="utf-8"))["cells"]
    found: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("notebook"))
        for cell in cells:
            if cell["cell_type"] == "code":
                source = "".join(cell["source"]).replace("(38, 12, 12), 400, 160", "(1, 1, 1), 16, 64")
                exec(source, found)  # noqa: S102
        yield found


def test_each_step_hands_the_next_one_its_file(notebook):
    assert (notebook["EPOCHS"], notebook["IMAGES"]) == ((1, 1, 1), 16)
    dense, sparse, cut, tuned = (notebook[name] for name in ("dense", "sparse", "cut", "tuned"))
    assert dense.epochs == sparse.epochs == tuned.epochs == 1
    sizes = [count_parameters(load_checkpoint(file).model) for file in (dense.best, cut.weights, tuned.best)]
    assert sizes[0] == cut.before.parameters > cut.after.parameters == sizes[1] == sizes[2]
    assert cut.report.is_file() and cut.before.map is not None


def test_the_numbers_are_those_of_the_files(notebook):
    tuned, after = notebook["tuned"], notebook["after"]
    assert after.scores.map == pytest.approx(tuned.scores.map, abs=1e-3) and after.images == 4 < after.instances
    (file,) = notebook["exported"].files
    assert file.path.is_file() and not file.problems
    assert "weights to use" in tuned.output and "written to" in notebook["cut"].output


def test_the_notebook_keeps_no_outputs():
    cells = json.loads((ROOT / "examples/tutorial.ipynb").read_text(encoding="utf-8"))["cells"]
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
