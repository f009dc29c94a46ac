"""Whole or not at all: on full disks, through links, beside what killed writers left."""

import errno
import os
import resource
import signal
from pathlib import Path

import pytest

from utils.errors import InputError
from utils.files.atomic import dispensable, folder_beside, remove_leftovers, write_atomically, write_together

OLD, NEW = b"old", b"n" * 5000


def forked(work):
    """Run work() in a forked child; return its exit code, 7 when it raised InputError."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except InputError:
            code = 7
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def limited(work, limit=4096):
    """Return work that may write files of so many bytes only: the next byte fails, as on a full disk."""

    def inner():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        work()

    return inner


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    file = tmp_path / "last.pt"
    file.write_bytes(OLD)
    assert forked(limited(lambda: write_atomically(file, NEW))) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"] and file.read_bytes() == OLD
    write_atomically(file, NEW)
    assert file.read_bytes() == NEW and len(list(tmp_path.iterdir())) == 1


def test_of_several_files_none_is_replaced_when_one_fails(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(OLD)
    moved = []
    assert forked(limited(lambda: write_together({first: b"x", second: NEW}, lambda: moved.append(1)))) == 7
    assert first.read_bytes() == OLD and not second.exists() and len(list(tmp_path.iterdir())) == 1

    with pytest.raises(InputError, match="b/c: cannot be written"):  # b is made a file by then
        second.touch()
        write_together({first: b"x", second / "c": b"y"}, lambda: moved.append(1))
    assert moved == [] and first.read_bytes() == OLD


def test_room_is_made_when_all_is_written(tmp_path):
    file, kept = tmp_path / "a.pt", tmp_path / "a_1.pt"
    file.write_bytes(OLD)
    write_together({file: NEW}, lambda: file.rename(kept))
    assert (file.read_bytes(), kept.read_bytes()) == (NEW, OLD)


def test_a_link_is_replaced_and_never_followed(tmp_path):
    victim, link = tmp_path / "victim", tmp_path / "link"
    victim.write_bytes(OLD)
    link.symlink_to(victim)
    write_atomically(link, NEW)
    assert victim.read_bytes() == OLD and not link.is_symlink() and link.read_bytes() == NEW


def test_what_a_link_lies_beside_is_not_written_through_it(tmp_path, monkeypatch):
    """A name that is taken, by a link to elsewhere at that, is an error and not a file to write to."""
    victim = tmp_path / "victim"
    victim.write_bytes(OLD)
    monkeypatch.setattr("utils.files.atomic.secrets.token_hex", lambda size: "0" * 2 * size)
    monkeypatch.setattr("utils.files.atomic.remove_leftovers", lambda *place: None)
    (tmp_path / f".a.{'0' * 12}.tmp").symlink_to(victim)
    with pytest.raises(InputError, match="a: cannot be written"):
        write_atomically(tmp_path / "a", NEW)
    assert victim.read_bytes() == OLD


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path):
    file = tmp_path / "a[1].pt"
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        write_together({file: NEW}, lambda: (os.write(sending, b"x"), signal.pause()))
    os.read(receiving, 1)
    (beside,) = tmp_path.iterdir()
    remove_leftovers(tmp_path)
    assert beside.exists()  # its writer lives
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    (tmp_path / "of_mine.tmp").touch()
    (tmp_path / ".other.tmp").touch()
    write_atomically(file, OLD)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.tmp", "a[1].pt", "of_mine.tmp"]
    os.close(receiving), os.close(sending)


def test_a_folder_beside_goes_with_what_is_in_it(tmp_path):
    with pytest.raises(KeyboardInterrupt), folder_beside(tmp_path / "a") as folder:
        (folder / "b").mkdir()
        remove_leftovers(tmp_path)
        assert folder.is_dir()
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["/proc/no/such", "/dev/full"])
def test_what_cannot_be_a_file_is_refused_by_name(place):
    with pytest.raises(InputError, match=f"{place}: cannot be written"):
        write_atomically(place, b"x")
    assert Path("/dev/full").is_char_device()


def test_a_dispensable_file_is_one_line(capsys):
    with dispensable("a.png"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert dispensable("b.png")(write_atomically)("/proc/no/such", b"") is None
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("a.png: ") and second.startswith("/proc/no/such: ")
