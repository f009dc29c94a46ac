"""The files of a report: charts/*.png and slim.html, written after every step and in the end."""

from pathlib import Path

from utils.files.atomic import write_atomically
from utils.pictures.figures import picture_bytes
from utils.slimming.report.charts import draw_course, draw_latency, draw_norms
from utils.slimming.report.page import page
from utils.slimming.report.points import newest_point, points_of
from utils.slimming.state import SlimState
from utils.validation.worst import WORST

PAGE, BEST = "slim.html", "slim.pt"


def write_report(state: SlimState, folder: Path) -> None:
    """Write charts/course.png, latency.png and norms.png, and slim.html, of a run in progress or finished.

    Args:
        state: content of slim.json.
        folder: of the run.

    Raises InputError when the folder cannot be written.
    """
    folder = Path(folder)
    points = points_of(state)
    figures = {
        "course": draw_course(points),
        "latency": draw_latency(points),
        "norms": draw_norms(newest_point(points), points[0]),
    }
    for name, figure in figures.items():
        write_atomically(folder / "charts" / f"{name}.png", picture_bytes(figure, bbox_inches="tight"))
    write_page(state, folder)


def write_page(state: SlimState, folder: Path) -> None:
    """Write slim.html alone, which takes a few milliseconds: between two epochs, say. Raises as write_report does."""
    folder = Path(folder)
    best = folder / BEST
    output = state.output or (str(best) if best.is_file() else None)
    picture = folder / WORST
    worst = picture.read_bytes() if state.worst and picture.is_file() else None
    write_atomically(folder / PAGE, page(state, output, worst).encode())
