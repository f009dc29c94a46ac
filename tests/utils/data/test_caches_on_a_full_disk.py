"""Caches are never torn, and never needed."""

import numpy as np

from utils.data.caching.disk import on_disk
from utils.data.images import write_array
from utils.data.scanning.cache import read_cache, write_cache
from utils.data.scanning.table import TableBuilder


def test_a_label_cache_that_cannot_be_written_leaves_the_earlier_one(tmp_path, on_full_disk):
    file, builder = tmp_path / "labels.cache.npz", TableBuilder()
    builder.add((3, 4), None)
    write_cache(file, "key", builder.table())
    assert on_full_disk(lambda: write_cache(file, "other", builder.table()), limit=64) == (0, "")
    assert read_cache(file, "key", 1).shapes.tolist() == [[3, 4]] and len(list(tmp_path.iterdir())) == 1


def test_photos_that_cannot_be_cached_are_one_line(tmp_path, write_image, on_full_disk):
    photo = write_image(tmp_path / "a.png", 64, 64)

    def work():
        assert on_disk([str(photo)], 1, False) is False

    code, said = on_full_disk(work)
    assert code == 0 and said.startswith(f"{photo}.npy: cannot be written") and said.count("\n") == 1
    assert len(list(tmp_path.iterdir())) == 1
    write_array(tmp_path / "b.npy", np.arange(3))
    assert np.load(tmp_path / "b.npy").tolist() == [0, 1, 2]
