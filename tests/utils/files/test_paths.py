"""Names of files in tables."""

from utils.files.paths import distinct_names


def test_a_file_is_called_by_the_shortest_end_of_its_path_that_is_its_own():
    files = ["runs/a/weights/best.pt", "runs/b/weights/best.pt", "best.pt", "b/last.pt"]
    assert list(distinct_names(files).values()) == ["a/weights/best.pt", "b/weights/best.pt", "best.pt", "last.pt"]
    assert distinct_names(["x/best.pt", "x/best.pt"]) == {"x/best.pt": "best.pt"}
