"""Cameras and network streams, played by captures whose frames the test hands out."""

import queue
import threading
import time

import cv2
import numpy as np
import pytest

from utils.data.sources import open_source
from utils.data.streams import Stream, newest_frames
from utils.errors import InputError


class Capture:
    """A cv2.VideoCapture that waits for frames from the test; frame n has the shade n. None ends it."""

    def __init__(self, frames=(), rate=25.0, opened=True, patience=5):
        self.patience = patience  # seconds after which it ends by itself
        self.frames, self.rate, self.opened, self.current = queue.Queue(), rate, opened, None
        self.released, self.asked = threading.Event(), threading.Semaphore(0)
        for frame in frames:
            self.frames.put(frame)

    def isOpened(self):
        return self.opened

    def get(self, key):
        assert key == cv2.CAP_PROP_FPS
        return self.rate

    def grab(self):
        self.asked.release()
        try:
            self.current = self.frames.get(timeout=self.patience)
        except queue.Empty:
            self.current = None
        return self.current is not None

    def retrieve(self):
        return True, np.full((4, 6, 3), self.current, np.uint8)

    def read(self):
        return self.retrieve() if self.grab() else (False, None)

    def release(self):
        self.released.set()

    def send(self, *frames):
        """Hand out frames and wait until the reader has taken them up and asks for another one."""
        for frame in frames:
            self.frames.put(frame)
        for _ in frames:
            assert self.asked.acquire(timeout=5)


class Endless(Capture):
    """A capture that has a frame whenever it is asked."""

    def grab(self):
        time.sleep(0.001)
        self.current = 1
        return True


def started(*frames, stride=1):
    """Return (capture, Stream) after the first frames were read."""
    capture = Capture(frames[:1])
    stream = Stream("0", stride, lambda source: capture)
    assert capture.asked.acquire(timeout=5) and capture.asked.acquire(timeout=5)
    capture.send(*frames[1:])
    return capture, stream


def test_only_the_newest_frame_counts():
    capture, stream = started(1, 2, 3)
    number, image = stream.newest(1)
    assert (number, image[0, 0, 0], image.shape) == (3, 3, (4, 6, 3))
    assert stream.newest(0) is None  # not twice
    capture.send(4)
    assert stream.newest(1)[0] == 4
    capture.frames.put(None)
    stream.close()
    assert stream.newest(1) is None
    assert capture.released.is_set()


def test_every_so_many_frames():
    capture, stream = started(1, 2, 3, stride=3)
    assert stream.newest(0)[0] == 1
    assert stream.newest(0) is None
    capture.send(4, 5)
    assert stream.newest(0)[0] == 4
    capture.frames.put(None)
    stream.close()


def test_a_stream_that_ends_ends_the_items(capsys):
    captures = {0: Capture([1, None], rate=0.0)}
    items = list(open_source("0", open_capture=captures.get))
    assert [(item.path, item.frame, item.fps, item.live) for item in items] == [("0", 1, 30.0, True)]
    assert capsys.readouterr().err == "0: the stream has ended\n"


def test_several_streams_take_turns_and_end_on_their_own(tmp_path, capsys):
    (tmp_path / "all.streams").write_text("0\nrtsp://example.org/a\n")
    captures = {0: Capture([1, None]), "rtsp://example.org/a": Capture([2, 3], rate=10.0)}
    found = []
    for item in open_source(str(tmp_path / "all.streams"), 1, open_capture=captures.get):
        found.append(item)
        if item.path != "0" and item.frame == 2:
            captures["rtsp://example.org/a"].frames.put(None)
    assert {item.path for item in found} == {"0", "rtsp://example.org/a"}
    assert found[-1].image[0, 0, 0] == 3 and found[-1].fps == 10
    said = sorted(capsys.readouterr().err.splitlines())
    assert said == ["0: the stream has ended", "rtsp://example.org/a: the stream has ended"]


def test_a_silent_stream_is_given_up(capsys):
    capture = Capture([1], patience=0.3)
    assert len(list(newest_frames(["0"], open_capture=lambda source: capture, wait=0.05))) == 1
    assert "ended" in capsys.readouterr().err


def test_streams_are_let_go_when_the_user_stops():
    captures = [Endless(), Endless()]
    waiting = iter(captures)
    frames = newest_frames(["0", "1"], open_capture=lambda source: next(waiting))
    next(frames)
    frames.close()
    assert all(capture.released.wait(5) for capture in captures)


@pytest.mark.parametrize("capture", [Capture(opened=False), Capture([None])], ids=["closed", "silent"])
@pytest.mark.parametrize(("source", "hint"), [("3", "is a camera"), ("rtsp://example.org/a", "is the address right")])
def test_what_cannot_be_opened_is_one_line(capture, source, hint):
    capture.frames.put(None)
    with pytest.raises(InputError, match=f"source {source}: cannot be opened; {hint}"):
        next(open_source(source, open_capture=lambda name: capture))
    assert capture.released.is_set()


def test_a_real_capture_is_followed(tmp_path):
    film = cv2.VideoWriter(str(tmp_path / "film.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for shade in range(5):
        film.write(np.full((48, 64, 3), 50 * shade, np.uint8))
    film.release()
    frames = list(newest_frames([str(tmp_path / "film.avi")]))
    assert frames[-1][1] == 5 and frames[-1][3] == 10
    assert frames[-1][2].mean() == pytest.approx(200, abs=3)
