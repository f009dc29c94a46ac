"""Downloads from a server of our own: whole, broken off, resumed, damaged, refused."""

import io
import re
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import URLError

import pytest

from utils.errors import InputError
from utils.files.downloads import PUBLIC_WEIGHTS, address_name, download, find_weights, is_address


def zipped(**files):
    """Return the bytes of a zip file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as content:
        for name, text in files.items():
            content.writestr(name, text)
    return stream.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Sends the server's content; continues in the middle when asked and allowed to."""

    def do_GET(self):
        server = self.server
        server.ranges.append(self.headers["Range"])
        content, start = server.content, 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if content is None:
            return self.send_error(404)
        if asked and server.resumes:
            start = int(asked[1])
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if server.tells_length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = min(len(content), start + server.most)
        self.wfile.write(content[start:end])

    def log_message(self, *words):
        pass


@pytest.fixture
def server():
    """Return a running server whose attributes say what it sends; `url` is the address of some.zip."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.ranges, server.resumes, server.tells_length, server.most = b"", [], True, True, 10**9
    server.url = f"http://127.0.0.1:{server.server_port}/files/some.zip?raw=1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def fails(*words):
    """Expect an InputError of one line that holds all words."""
    with pytest.raises(InputError) as error:
        yield
    assert all(str(word) in str(error.value) for word in words), str(error.value)
    assert "\n" not in str(error.value)


def no_pause(seconds):
    """Wait for nothing."""


CONTENT = zipped(a="1" * 5000, b="2" * 5000)


def test_a_file_appears_whole_in_a_new_folder_and_is_not_fetched_again(server, tmp_path, capsys):
    server.content = CONTENT
    target = tmp_path / "new" / "some.zip"
    for _ in range(2):
        assert download(server.url, target) == target
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None]
    assert list(target.parent.iterdir()) == [target]
    assert f"{target} is there already: {server.url} is not downloaded" in capsys.readouterr().err


def test_a_part_is_continued(server, tmp_path):
    server.content = CONTENT
    (tmp_path / "some.zip.part").write_bytes(CONTENT[:777])
    download(server.url, tmp_path / "some.zip")
    assert (tmp_path / "some.zip").read_bytes() == CONTENT
    assert server.ranges == ["bytes=777-"]


def test_a_finished_part_is_taken(server, tmp_path):
    server.content = CONTENT
    (tmp_path / "some.zip.part").write_bytes(CONTENT)
    assert download(server.url, tmp_path / "some.zip").read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT)}-"]


def test_a_part_that_is_too_long_starts_anew(server, tmp_path):
    server.content = CONTENT
    (tmp_path / "some.zip.part").write_bytes(CONTENT + b"more")
    assert download(server.url, tmp_path / "some.zip").read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT) + 4}-", None]


def test_a_server_that_cannot_continue_sends_all(server, tmp_path):
    server.content, server.resumes = CONTENT, False
    (tmp_path / "some.zip.part").write_bytes(CONTENT[:777])
    assert download(server.url, tmp_path / "some.zip").read_bytes() == CONTENT


def test_a_broken_connection_is_taken_up_again_by_itself(server, tmp_path):
    server.content, server.most = CONTENT, len(CONTENT) // 3 + 1
    pauses = []
    assert download(server.url, tmp_path / "some.zip", pause=pauses.append).read_bytes() == CONTENT
    step = server.most
    assert server.ranges == [None, f"bytes={step}-", f"bytes={2 * step}-"]
    assert len(pauses) == 2


def test_what_came_is_kept_for_the_next_time(server, tmp_path):
    server.content, server.most = CONTENT, 100
    with fails("of 10", server.url, f"put it at {tmp_path / 'some.zip'}"):
        download(server.url, tmp_path / "some.zip", pause=no_pause)
    assert [file.name for file in tmp_path.iterdir()] == ["some.zip.part"]
    assert (tmp_path / "some.zip.part").read_bytes() == CONTENT[:1000]  # ten tries
    server.most = 10**9
    assert download(server.url, tmp_path / "some.zip").read_bytes() == CONTENT


def test_without_a_length_the_content_decides(server, tmp_path):
    server.content, server.tells_length = CONTENT, False
    assert download(server.url, tmp_path / "some.zip").read_bytes() == CONTENT
    server.most = len(CONTENT) - 50
    with fails("damaged", server.url):
        download(server.url, tmp_path / "other.zip", pause=no_pause)


@pytest.mark.parametrize("content", [b"<html>please log in</html>", CONTENT[:200] + b"x" + CONTENT[201:]])
@pytest.mark.parametrize("name", ["some.zip", "yolov5n.pt"])
def test_what_is_no_zip_file_or_damaged_is_thrown_away(server, tmp_path, content, name):
    server.content = content
    with fails(name, server.url, "damaged"):
        download(server.url, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_not_looked_into(server, tmp_path):
    server.content = b"a,b\n"
    assert download(server.url, tmp_path / "some.csv").read_bytes() == b"a,b\n"


def test_a_refusal_is_one_line_with_the_address_and_the_place(server, tmp_path):
    server.content = None
    for target in (tmp_path / "some.zip", tmp_path / "new/some.zip"):
        with fails("404", server.url, f"put it at {target}"):
            download(server.url, target)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [URLError(OSError(-2, "Name or service not known")), TimeoutError("timed out")])
def test_offline_is_one_line_at_once(tmp_path, error):
    def opener(request, timeout):
        raise error

    pauses = []
    with fails("yolov5n.pt", "https://example.org/yolov5n.pt", "known" if isinstance(error, URLError) else "timed out"):
        download("https://example.org/yolov5n.pt", tmp_path / "yolov5n.pt", opener=opener, pause=pauses.append)
    assert pauses == [] and list(tmp_path.iterdir()) == []


def test_a_full_disk_is_seen_before(server, tmp_path, monkeypatch):
    server.content = CONTENT
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with fails("free on the disk"):
        download(server.url, tmp_path / "some.zip")


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with fails("file/some.zip", "cannot be written"):
        download("http://127.0.0.1:9/some.zip", tmp_path / "file" / "some.zip")


def test_two_at_a_time_fetch_once(server, tmp_path):
    server.content, target = CONTENT, tmp_path / "some.zip"
    threads = [threading.Thread(target=download, args=(server.url, target)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None]
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.org/x/coco128.zip?key=1/2", "coco128.zip"),
        ("https://a.org/a%2F..%2Fb%20c.zip", "b_c.zip"),
        ("https://a.org/..", "download"),
        ("https://a.org", "download"),
        ("https://a.org/.bashrc", "bashrc"),
    ],
)
def test_names_of_addresses_are_safe(url, name):
    assert address_name(url) == name


def test_addresses():
    assert is_address("HTTPS://a.org/x") and is_address("http://127.0.0.1:8000/x.zip")
    for text in ("file:///etc/passwd", "ftp://a.org/x", "http://", "https:///x", "see https://a.org", "a.org", None, 3):
        assert not is_address(text)


def test_public_weights_come_from_their_release_into_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("utils.files.paths.ROOT", tmp_path)  # whatever weights lie in the project's folder
    assert sorted(PUBLIC_WEIGHTS)[:4] == ["yolov5l.pt", "yolov5l6.pt", "yolov5m.pt", "yolov5m6.pt"]
    calls = []

    def fetch(url, target):
        calls.append((url, str(target)))
        return target

    for name in ("yolov5m6.pt", "some/yolov5m6.pt", "https://example.org/x/best.pt?raw=1"):
        find_weights(name, fetch=fetch)
    release = "https://github.com/ultralytics/yolov5/releases/download/v7.0/yolov5m6.pt"
    assert calls == [
        (release, "yolov5m6.pt"),
        (release, "some/yolov5m6.pt"),
        ("https://example.org/x/best.pt?raw=1", "best.pt"),
    ]


def test_weights_that_are_there_are_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "yolov5m6.pt").write_bytes(b"")
    assert str(find_weights("yolov5m6.pt", fetch=None)) == "yolov5m6.pt"


@pytest.mark.parametrize("name", ["best.pt", "yolov5q.pt", "yolov5n-seg.pt", "runs/last.pt"])
def test_other_weights_are_not_looked_for_elsewhere(name):
    with fails(name, "no such weight file"):
        find_weights(name, fetch=lambda *_: pytest.fail("nothing to fetch"))
