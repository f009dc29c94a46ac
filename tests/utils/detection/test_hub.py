"""What the model for other programs makes of pictures of all kinds."""

import io
from urllib.error import URLError

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from utils.detection.hub import AutoShape, as_picture, distinct, read_address, read_picture
from utils.errors import InputError


class OneDog(torch.nn.Module):
    """Sees one dog of 32×16 around (32, 24) in every image, surely, and a cat less surely at the same place."""

    size_multiple, names, nc, yaml = 32, {0: "cat", 1: "dog"}, 2, {}

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, images, augment=False):
        self.seen, self.images, self.augmented = tuple(images.shape), images, augment
        row = torch.tensor([[[32.0, 24, 32, 16, 0.9, 0.5, 1]]]) * self.scale
        return row.repeat(len(images), 1, 1), None


@pytest.fixture
def model():
    return AutoShape(OneDog())


@pytest.fixture
def photo(tmp_path):
    """Return the file of an image of noise of 100 × 200 pixels."""
    cv2.imwrite(str(tmp_path / "photo.png"), np.random.default_rng(0).integers(0, 255, (100, 200, 3), np.uint8))
    return tmp_path / "photo.png"


def test_every_kind_of_picture_is_the_same_picture(model, photo):
    rgb = cv2.imread(str(photo))[..., ::-1]
    arrays = [rgb, rgb.transpose(2, 0, 1), torch.from_numpy(rgb.copy()), rgb.astype(np.float32)]
    sources = [str(photo), photo, Image.open(photo), *arrays]
    results = model(sources, size=64)
    assert model.model.seen == (7, 3, 32, 64)
    assert all((image == rgb).all() for image in results.ims)
    assert results.files == ["photo.jpg", "photo_2.jpg", "photo_3.jpg", *(f"image{n}.jpg" for n in (3, 4, 5, 6))]
    # 100×200 becomes 32×64: scale 0.32, no border.
    for rows in results.xyxy:
        assert rows.tolist() == [pytest.approx([50, 50, 150, 100, 0.9, 1])]


def test_pixels_reach_the_network_as_rgb_from_0_to_1(model):
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 255
    model(red, size=32)
    assert model.model.images.amin((0, 2, 3)).tolist() == [1, 0, 0]
    assert model.model.images.amax((0, 2, 3)).tolist() == [1, 0, 0]


def test_pictures_of_many_shapes_share_a_batch(model):
    tall, wide = np.zeros((200, 100, 3), np.uint8), np.zeros((50, 100, 3), np.uint8)
    results = model((tall, wide), size=64)
    assert model.model.seen == (2, 3, 64, 64) and results.s == (2, 3, 64, 64)
    # 200×100 becomes 64×32 in the middle (16 px left); 50×100 becomes 32×64 (16 px above).
    assert results.xyxy[0][0, :4].tolist() == pytest.approx([0, 50, 100, 100])
    assert results.xyxy[1][0, :4].tolist() == pytest.approx([25, 0, 75, 25])


@pytest.mark.parametrize(("size", "shape"), [(64, (32, 64)), ((64, 320), (160, 320)), (70, (64, 96))])
def test_size_is_the_longest_side_in_whole_strides(model, size, shape):
    model(np.zeros((100, 200, 3), np.uint8), size=size)
    assert model.model.seen[2:] == shape


def test_a_tensor_is_passed_on_and_gives_the_networks_answer(model):
    predictions, raw = model(torch.zeros(2, 3, 64, 96), augment=True)
    assert predictions.shape == (2, 1, 7) and raw is None and model.model.seen == (2, 3, 64, 96)
    assert model.model.augmented and not predictions.requires_grad


def test_attributes_decide_what_is_kept(model):
    image = np.zeros((64, 64, 3), np.uint8)
    model.multi_label = True
    assert model(image, size=64).xyxy[0][:, 5].tolist() == [1, 0]
    model.agnostic = True
    assert model(image, size=64).xyxy[0][:, 5].tolist() == [1]
    model.agnostic, model.classes = False, [0]
    assert model(image, size=64).xyxy[0][:, 5].tolist() == [0]
    model.classes, model.max_det = None, 1
    assert model(image, size=64).xyxy[0][:, 5].tolist() == [1]
    model.conf = 0.95
    assert len(model(image, size=64).xyxy[0]) == 0


def test_it_moves_and_changes_precision_as_a_module(model):
    assert model.to("cpu") is model.eval() is model.cpu() is model.half() is model
    model(np.zeros((32, 32, 3), np.uint8), size=32)
    assert model.model.images.dtype == torch.float16
    assert model.float()(np.zeros((32, 32, 3), np.uint8), size=32).xyxy[0].dtype == torch.float32


def test_pictures_are_turned_upright_as_their_exif_says(tmp_path):
    picture = Image.fromarray(np.zeros((20, 40, 3), np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    picture.save(tmp_path / "turned.jpg", exif=exif)
    for source in (tmp_path / "turned.jpg", Image.open(tmp_path / "turned.jpg")):
        assert read_picture(source, "x")[0].shape == (40, 20, 3)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_pil_pictures_of_every_mode_become_rgb(mode):
    white = Image.new("RGB", (4, 3), "white").convert(mode)
    picture, name = read_picture(white, "image7")
    assert picture.shape == (3, 4, 3) and (picture == 255).all() and name == "image7"


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 1), (8, 9, 4), (1, 8, 9), (4, 8, 9)])
def test_arrays_of_other_shapes(shape):
    assert as_picture(np.full(shape, 7, np.uint8), "x").shape == (8, 9, 3)


def test_values_beyond_a_byte_are_cut():
    assert as_picture(np.full((8, 8, 3), 300.0), "x").max() == 255


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ([], "the list of images is empty"),
        (["absent.jpg"], "absent.jpg: no such image"),
        ("broken.jpg", "broken.jpg: cannot be decoded"),
        (np.zeros((8, 8, 2), np.uint8), "image0: an array of shape (8, 8, 2)"),
        (np.zeros(8), "image0: an array of shape (8,)"),
        (np.zeros((0, 8, 3), np.uint8), "image0: an array of shape"),
        ([np.zeros((8, 8, 3), np.uint8), b"text"], "image1: an array of shape ()"),
        (np.full((8, 8, 3), 0.5), "image0: its values go from 0 to 1; must go from 0 to 255"),
    ],
)
def test_what_is_no_picture_is_named(model, tmp_path, monkeypatch, source, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(InputError) as error:
        model(source)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_picture_at_an_address(photo):
    asked = []

    def opener(request, timeout):
        asked.append(request.full_url)
        return io.BytesIO(photo.read_bytes())

    assert (read_address("https://example.org/a.png", opener) == cv2.imread(str(photo))).all()
    assert asked == ["https://example.org/a.png"]
    assert read_address("https://example.org/a.png", lambda *_, **__: io.BytesIO(b"<html>")) is None

    def offline(request, timeout):
        raise URLError("unknown host")

    with pytest.raises(InputError, match="https://example.org/a.png: cannot be read .unknown host"):
        read_address("https://example.org/a.png", offline)


def test_names_are_distinct():
    assert distinct(["a", "b", "a", "a_2"]) == ["a.jpg", "b.jpg", "a_2.jpg", "a_2_2.jpg"]
