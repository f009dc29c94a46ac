"""Names of files in tables."""

import pytest

from utils.errors import InputError
from utils.files.paths import check_project, distinct_names


def test_a_file_is_called_by_the_shortest_end_of_its_path_that_is_its_own():
    files = ["runs/a/weights/best.pt", "runs/b/weights/best.pt", "best.pt", "b/last.pt"]
    assert list(distinct_names(files).values()) == ["a/weights/best.pt", "b/weights/best.pt", "best.pt", "last.pt"]
    assert distinct_names(["x/best.pt", "x/best.pt"]) == {"x/best.pt": "best.pt"}


def test_a_folder_of_runs_that_cannot_be_made_is_named(tmp_path):
    check_project(tmp_path / "new" / "runs", "exp")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--project .*file/runs: .*file is a file"):
        check_project(tmp_path / "file" / "runs", "exp")
    with pytest.raises(InputError, match="--name is empty"):
        check_project(tmp_path, "")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
