"""Data sets of unusual size: one image, no objects, one class or a thousand, fewer images than a batch has."""

import numpy as np
import pytest

from utils.data.config import load_data
from utils.data.dataset import DetectionDataset
from utils.data.loader import make_loader
from utils.data.splits import load_split, require_objects
from utils.errors import InputError
from utils.files.hyp import load_hyp


@pytest.fixture
def make_set(tmp_path, write_image):
    """Return a function that writes images with some texts as labels and returns their DataConfig of `nc` classes."""

    def make(labels, nc=1, suffix=".png", **keys):
        for index, text in enumerate(labels):
            write_image(tmp_path / f"images/{index}.png", 32, 40, seed=index).rename(
                tmp_path / f"images/{index}{suffix}"
            )
            if text is not None:
                (tmp_path / "labels").mkdir(exist_ok=True)
                (tmp_path / f"labels/{index}.txt").write_text(text)
        splits = {"train": "images", "val": "images", **keys}
        lines = [f"path: {tmp_path}", f"nc: {nc}", *(f"{key}: {value}" for key, value in splits.items() if value)]
        (tmp_path / "data.yaml").write_text("\n".join(lines))
        return load_data(tmp_path / "data.yaml")

    return make


def batches_of(samples, batch_size, training):
    options = {"hyp": load_hyp("hyp.scratch-low.yaml")} if training else {"rect": True, "pad": 0.5}
    return list(make_loader(DetectionDataset(samples, 32, batch_size=batch_size, **options), batch_size))


@pytest.mark.parametrize("training", [True, False], ids=["train", "val"])
def test_one_image_in_a_batch_of_sixteen(make_set, training):
    samples, counts = load_split(make_set(["0 .5 .5 .5 .5\n"]), "train", progress=False)
    assert (len(samples), counts.found) == (1, 1)
    ((images, targets, paths, _),) = batches_of(samples, 16, training)
    assert len(images) == len(paths) == 1 and set(targets[:, 1].tolist()) <= {0}


@pytest.mark.parametrize("training", [True, False], ids=["train", "val"])
def test_no_object_at_all(make_set, training):
    config = make_set(["", "", ""])
    samples, counts = load_split(config, "train", progress=False)
    assert (counts.empty, samples.labels.values.shape) == (3, (0, 5))
    assert [tuple(targets.shape) for _, targets, _, _ in batches_of(samples, 2, training)] == [(0, 6)] * 2
    with pytest.raises(InputError, match="--max-drop: .*holds not one object"):
        require_objects(config, "val", "--max-drop")


def test_a_thousand_classes(make_set):
    rows = [
        "".join(f"{(100 * image + row) % 1000} .5 .5 .{row + 10} .5\n" for row in range(100)) for image in range(12)
    ]
    samples, counts = load_split(make_set(rows, nc=1000), "train", progress=False)
    assert counts.found == 12 and samples.labels.values[:, 0].max() == 999
    assert samples.renumbered(np.zeros(1000, int)).labels.values[:, 0].max() == 0
    targets = np.concatenate([targets.numpy() for _, targets, _, _ in batches_of(samples, 5, False)])
    assert sorted(targets[:, 1]) == sorted(samples.labels.values[:, 0])
    with pytest.raises(InputError, match="class 999; must be a whole number from 0 to 998"):
        load_split(make_set(rows, nc=999), "train", progress=False)


def test_the_same_folder_for_both_splits_is_read_once(make_set, tmp_path):
    config = make_set(["0 .5 .5 .5 .5\n"] * 3)
    (train, _), (val, _) = (load_split(config, split, progress=False) for split in ("train", "val"))
    assert list(train.paths) == list(val.paths)
    assert [file.name for file in tmp_path.glob("*.npz")] == ["labels.cache.npz"]


def test_gif_photos_are_part_of_a_set(make_set):
    samples, counts = load_split(make_set(["0 .5 .5 .5 .5\n"] * 2, suffix=".gif"), "train", progress=False)
    assert [path.rpartition(".")[2] for path in samples.paths] == ["gif", "gif"] and counts.corrupt == 0


def test_heic_photos_without_their_reader_are_refused_with_the_command(make_set, tmp_path):
    config = make_set(["0 .5 .5 .5 .5\n"] * 2)
    (tmp_path / "images/1.png").rename(tmp_path / "images/1.heic")
    (tmp_path / "images/1.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(InputError, match="1 of 2 images cannot be read") as error:
        load_split(config, "train", progress=False)
    assert len(str(error.value).replace(str(tmp_path), "")) < 300
