"""When a window can be shown, and which keys end it."""

from types import SimpleNamespace

import pytest

from utils.detection.window import require_display, show
from utils.errors import InputError


@pytest.mark.parametrize(
    ("environment", "platform", "framework", "words"),
    [
        ({}, "linux", "QT5", "there is no display here"),
        ({"DISPLAY": ":0"}, "linux", "", "pip install opencv-python"),
        ({}, "darwin", "", "pip install opencv-python"),
    ],
)
def test_without_a_window_it_is_one_line(environment, platform, framework, words):
    with pytest.raises(InputError, match=f"^--view-img: .*{words}"):
        require_display("--view-img", environment=environment, platform=platform, framework=lambda: framework)


@pytest.mark.parametrize(
    ("environment", "platform"), [({"WAYLAND_DISPLAY": "w"}, "linux"), ({}, "darwin"), ({}, "win32")]
)
def test_with_a_window_nothing_is_said(environment, platform):
    require_display("--view-img", environment=environment, platform=platform, framework=lambda: "QT5")


@pytest.mark.parametrize(("moving", "waits"), [(True, 1), (False, 0)])
@pytest.mark.parametrize(("key", "on"), [(-1, True), (ord(" "), True), (ord("q"), False), (27, False)])
def test_keys(moving, waits, key, on):
    waited = []
    window = SimpleNamespace(imshow=lambda *_: None, waitKey=lambda milliseconds: waited.append(milliseconds) or key)
    assert show("a.jpg", None, moving, window=window) is on
    assert waited == [waits]
