"""What comes out of archives, and what does not."""

import io
import tarfile
import zipfile

import pytest

from utils.data.download import archives
from utils.data.download.archives import unpack
from utils.errors import InputError


@pytest.fixture
def make_zip(tmp_path):
    """Return a function that writes a zip file of (name, text, Unix mode) and returns its path."""

    def make(*members):
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as content:
            for name, text, mode in members:
                info = zipfile.ZipInfo(name)
                info.external_attr = mode << 16
                content.writestr(info, text, zipfile.ZIP_DEFLATED)
        return tmp_path / "a.zip"

    return make


@pytest.fixture
def make_tar(tmp_path):
    """Return a function that writes a tar.gz file of (name, text, type, link) and returns its path."""

    def make(*members):
        with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as content:
            for name, text, kind, link in members:
                info = tarfile.TarInfo(name)
                info.size, info.type, info.linkname = len(text), kind, link
                content.addfile(info, io.BytesIO(text))
        return tmp_path / "a.tar.gz"

    return make


def files(folder):
    """Return {name: text} of all files below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_zip(make_zip, tmp_path):
    members = ("set/a.txt", "A", 0o100644), ("set/deep/b.txt", "B", 0), ("set/empty/", "", 0o40755)
    unpack(make_zip(*members), tmp_path / "out")
    assert files(tmp_path / "out") == {"set/a.txt": "A", "set/deep/b.txt": "B"}
    assert (tmp_path / "out/set/empty").is_dir()


def test_tar(make_tar, tmp_path):
    unpack(make_tar(("./set", b"", tarfile.DIRTYPE, ""), ("./set/a.txt", b"A", tarfile.REGTYPE, "")), tmp_path / "out")
    assert files(tmp_path / "out") == {"set/a.txt": "A"}


def test_links_to_files_inside_become_files(make_tar, make_zip, tmp_path):
    members = [
        ("set/soft.txt", b"", tarfile.SYMTYPE, "../set/a.txt"),
        ("set/hard.txt", b"", tarfile.LNKTYPE, "set/a.txt"),
        ("set/a.txt", b"A", tarfile.REGTYPE, ""),
    ]
    unpack(make_tar(*members), tmp_path / "tar")
    assert files(tmp_path / "tar") == {"set/a.txt": "A", "set/hard.txt": "A", "set/soft.txt": "A"}
    unpack(make_zip(("set/soft.txt", "a.txt", 0o120777), ("set/a.txt", "A", 0o100644)), tmp_path / "zip")
    assert files(tmp_path / "zip") == {"set/a.txt": "A", "set/soft.txt": "A"}
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


OUTSIDE = ["../evil", "a/../../evil", "/tmp/evil", "C:/evil", "..\\evil", "\\evil"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_lead_out_are_refused(make_zip, make_tar, tmp_path, name):
    archives = (
        make_zip(("good", "1", 0), (name, "2", 0)),
        make_zip(("good", "1", 0), (name + "/", "", 0)),
        make_tar((name, b"2", tarfile.REGTYPE, "")),
    )
    for archive in archives:
        with pytest.raises(InputError, match="not unpacked: .* leads out of the folder"):
            unpack(archive, tmp_path / "in" / "out")
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "a/../../secret", "absent", "folder"])
def test_links_to_anything_else_are_refused(make_tar, make_zip, tmp_path, kind, target):
    (tmp_path / "secret").write_text("secret")
    folder = ("folder/x", b"1", tarfile.REGTYPE, "")
    with pytest.raises(InputError, match="leads out of the folder|is no file of the archive"):
        unpack(make_tar(folder, ("link", b"", kind, target)), tmp_path / "out")
    with pytest.raises(InputError, match="leads out of the folder|is no file of the archive"):
        unpack(make_zip(("folder/x", "1", 0), ("link", target, 0o120777)), tmp_path / "out2")
    assert not (tmp_path / "out/link").exists() and not (tmp_path / "out2/link").exists()


def test_a_file_cannot_be_written_through_a_link_of_the_archive(make_tar, tmp_path):
    members = [("in", b"", tarfile.SYMTYPE, str(tmp_path)), ("in/evil", b"1", tarfile.REGTYPE, "")]
    with pytest.raises(InputError):
        unpack(make_tar(*members), tmp_path / "out")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes_are_refused(make_tar, make_zip, tmp_path, kind):
    with pytest.raises(InputError, match="'odd' is no file"):
        unpack(make_tar(("odd", b"", kind, "")), tmp_path / "out")
    with pytest.raises(InputError, match="'odd' is no file"):
        unpack(make_zip(("odd", "", 0o010644)), tmp_path / "out")


def test_bombs_are_refused_before_the_disk_is_full(make_zip, make_tar, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED", 1000)
    bomb = "0" * 1_000_000  # packs to about 1 kB: a ratio of almost 1000
    for archive in (make_zip(("a", bomb, 0)), make_tar(("a", bomb.encode(), tarfile.REGTYPE, ""))):
        with pytest.raises(InputError, match="GB come out of it"):
            unpack(archive, tmp_path / "out")
        assert not (tmp_path / "out/a").exists()
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED", 1_000_000)
    unpack(make_zip(("a", bomb, 0)), tmp_path / "out")
    assert (tmp_path / "out/a").stat().st_size == 1_000_000


def test_what_does_not_fit_on_the_disk_is_refused(make_zip, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(InputError, match="GB come out of it"):
        unpack(make_zip(("a", "0" * 11, 0)), tmp_path / "out")


def test_many_members_are_refused(make_zip, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_MEMBERS", 2)
    with pytest.raises(InputError, match="more than 2 files"):
        unpack(make_zip(("a", "", 0), ("b", "", 0), ("c", "", 0)), tmp_path / "out")


def damaged(path):
    """Change a byte in the middle of a file; return its path."""
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)
    return path


def test_damaged_archives_are_one_line(make_zip, make_tar, tmp_path):
    text = "".join(map(str, range(5000)))
    (tmp_path / "page.zip").write_text("<html>")
    packed = make_zip(("a", text, 0)), make_tar(("a", text.encode(), tarfile.REGTYPE, ""))
    for archive in (*map(damaged, packed), tmp_path / "page.zip"):
        with pytest.raises(InputError) as error:
            unpack(archive, tmp_path / "out")
        assert str(error.value).startswith(f"{archive}: ") and "\n" not in str(error.value)


def test_a_file_where_a_folder_should_be_is_one_line(make_zip, tmp_path):
    with pytest.raises(InputError, match="cannot be unpacked"):
        unpack(make_zip(("a", "1", 0), ("a/b", "1", 0)), tmp_path / "out")


def test_a_member_without_a_name_is_one_line(make_zip, tmp_path):
    with pytest.raises(InputError, match="a.zip: damaged or not supported"):
        unpack(make_zip(("", "A", 0o100644)), tmp_path / "out")
