"""Lists of images as they come from other machines."""

import pytest

from utils.data.formats.lists import read_lines, read_list

SUFFIXES = (".jpg", ".png")


@pytest.fixture
def images(tmp_path):
    """Return eight images below set/images/train."""
    folder = tmp_path / "set/images/train"
    folder.mkdir(parents=True)
    files = [folder / f"{number}.jpg" for number in range(8)]
    for file in files:
        file.touch()
    return files


@pytest.fixture
def read(tmp_path):
    """Return a function that reads bytes as the list set/train.txt."""

    def read_bytes(content, *bases):
        file = tmp_path / "set/train.txt"
        file.write_bytes(content)
        return read_list(file, (file.parent, *bases), SUFFIXES)

    return read_bytes


@pytest.mark.parametrize(
    "root",
    [
        "images/train/",
        "./images/train/",
        "images\\train\\",
        ".\\images\\train\\",
        "C:\\Users\\me\\set\\images\\train\\",
        "D:/set/images/train/",
        "/home/me/set/images/train/",
        "data/set/images/train/",
        "../set/images/train/",
        "../../elsewhere/images/train/",
        "{folder}/set/images/train/",
    ],
)
def test_paths_of_all_spellings_are_found(images, read, tmp_path, root):
    lines = "\n".join(f"{root.format(folder=tmp_path)}{number}.jpg" for number in range(8))
    found, strange = read(lines.encode())
    assert [path.resolve() for path in found] == images
    assert strange == []


def test_lines_may_start_at_other_folders_too(images, read, tmp_path):
    found, _ = read(b"train/0.jpg", tmp_path / "else", tmp_path / "set/images")
    assert found == images[:1]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfimages/train/0.jpg\r\n\r\n  images/train/1.jpg  \r\n",
        b"# made by a tool\nimages/train/0.jpg\n\n#more\nimages/train/1.jpg",
        b'"images/train/0.jpg"\rimages/train/1.jpg\r',
        "images/train/0.jpg\nimages/train/1.jpg\n".encode("utf-16"),
    ],
    ids=["BOM and CRLF", "comments", "quotes and CR", "UTF-16"],
)
def test_what_editors_leave_in_lists(images, read, content):
    assert read(content) == (images[:2], [])


def test_a_name_may_begin_with_a_hash_and_hold_any_bytes(tmp_path, read):
    (tmp_path / "set").mkdir()
    for name in ("#1.jpg", "\udcff.jpg", "a\\b.jpg"):
        (tmp_path / "set" / name).touch()
    found, _ = read(b"#1.jpg\n\xff.jpg\na\\b.jpg\n#2.jpg\n")
    assert [path.name for path in found] == ["#1.jpg", "\udcff.jpg", "a\\b.jpg"]


def test_what_is_not_there_should_be_where_the_others_are(images, read):
    found, _ = read(b"E:\\x\\images\\train\\9.jpg\nE:\\x\\images\\train\\0.jpg\n")
    assert found == [images[0].with_name("9.jpg"), images[0]]


def test_a_name_alone_stands_for_files_of_another_machine_only(images, read):
    folder = images[0].parent
    assert read(b"D:\\photos\\0.jpg\n", folder)[0] == images[:1]
    assert read(b"images/val/0.jpg\n", folder)[0] == [folder.parent / "val/0.jpg"]


def test_lines_that_name_no_image(images, read):
    assert read(b"images/train/0.jpg\nfilm.mp4\n")[1] == [(2, "film.mp4")]


def test_lists_of_pascal_voc_name_stems(tmp_path):
    for folder in ("JPEGImages", "ImageSets/Main"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "JPEGImages/2007_01.jpg").touch()
    (tmp_path / "JPEGImages/2007_02.png").touch()
    file = tmp_path / "ImageSets/Main/cat_train.txt"
    file.write_text("2007_01  1\n2007_02 -1\n2007_03 -1\n")
    assert read_list(file, (tmp_path,), SUFFIXES) == (
        [tmp_path / "JPEGImages" / name for name in ("2007_01.jpg", "2007_02.png", "2007_03.jpg")],
        [],
    )


def test_lines_are_counted_as_they_stand(tmp_path):
    (tmp_path / "a.txt").write_text("\na\n\n b c \n")
    assert read_lines(tmp_path / "a.txt") == [(2, "a"), (4, "b c")]
