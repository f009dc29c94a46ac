"""Cameras and network streams: always the newest frame, however slowly it is looked at."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2

from utils.errors import InputError

WAIT = 30.0  # seconds without a frame after which a stream counts as ended
TURN = 0.5  # seconds that one of several streams may keep the others waiting


class Stream:
    """One camera or network stream, read by a thread of its own that keeps the newest frame only."""

    def __init__(self, source: str, stride: int = 1, open_capture: Callable[..., Any] = cv2.VideoCapture) -> None:
        """Open a camera (digits) or an address and wait for its first frame; only every stride-th frame counts.

        open_capture: what makes a cv2.VideoCapture of a number or an address. Raises InputError when nothing comes.
        """
        self.source, self.stride = source, stride
        camera = source.isdigit()
        self.capture = open_capture(int(source) if camera else source)
        image = self.capture.read()[1] if self.capture.isOpened() else None
        if image is None:
            self.capture.release()
            hint = "is a camera of this number connected, and free" if camera else "is the address right, and reachable"
            raise InputError(f"source {source}: cannot be opened; {hint}?")
        self.rate = self.capture.get(cv2.CAP_PROP_FPS)
        self.number, self.image, self.shown = 1, image, 0  # newest frame, and the last one that was taken
        self.ended = self.closing = False
        self.news = threading.Condition()
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def follow(self) -> None:
        """Keep the newest frame up to date until the stream ends or is closed."""
        number = self.number
        while not self.closing and self.capture.grab():
            number += 1
            if (number - 1) % self.stride:
                continue
            image = self.capture.retrieve()[1]
            if image is None:
                break
            with self.news:
                self.number, self.image = number, image
                self.news.notify()
        with self.news:
            self.ended = True
            self.news.notify()
        self.capture.release()

    def newest(self, seconds: float) -> Any:
        """Return (number, image) of a frame that was not returned before, None when none comes in so many seconds."""
        with self.news:
            self.news.wait_for(lambda: self.number > self.shown or self.ended, seconds)
            if self.number == self.shown:
                return None
            self.shown = self.number
            return self.number, self.image

    def close(self) -> None:
        """Stop the thread; it lets go of the camera after the frame that it is reading."""
        self.closing = True
        self.thread.join(timeout=1)


def newest_frames(
    sources: Sequence[str], stride: int = 1, *, open_capture: Callable[..., Any] = cv2.VideoCapture, wait: float = WAIT
) -> Iterator[Any]:
    """Yield (source, number, image uint8 [h, w, 3] BGR, frames a second) of streams in turn, until all have ended.

    number counts a stream's frames from 1; those that came while the caller was busy are left out. The rate is what
    the stream says divided by the stride, 0 when it says none. A stream that ends is named on stderr.

    Raises InputError when a stream cannot be opened.
    """
    streams = []
    try:
        for source in sources:
            streams.append(Stream(source, stride, open_capture))
        alive, silent = list(streams), {stream: 0.0 for stream in streams}
        while alive:
            for stream in list(alive):
                turn = wait if len(alive) == 1 else min(TURN, wait)
                frame = stream.newest(turn)
                if frame:
                    silent[stream] = 0.0
                    yield (stream.source, *frame, stream.rate)
                    continue
                silent[stream] += turn
                if stream.ended or silent[stream] >= wait:
                    alive.remove(stream)
                    print(f"{stream.source}: the stream has ended", file=sys.stderr)
    finally:
        for stream in streams:
            stream.close()
