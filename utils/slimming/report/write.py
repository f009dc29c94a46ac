"""What a slim.py run writes for its reader: charts/*.png and slim.html, after every step and in the end."""

from pathlib import Path

from utils.files.atomic import write_atomically
from utils.slimming.report.charts import draw_course, draw_latency, draw_norms, png_bytes
from utils.slimming.report.page import page
from utils.slimming.report.points import newest_point, points_of

PAGE, BEST = "slim.html", "slim.pt"


def write_report(record, folder):
    """Write charts/course.png, latency.png and norms.png, and slim.html, of a run in progress or finished.

    Args:
        record: content of slim.json; measurements that are missing are null.
        folder: of the run.

    Raises InputError when the folder cannot be written.
    """
    folder = Path(folder)
    points = points_of(record)
    figures = {
        "course": draw_course(points),
        "latency": draw_latency(points),
        "norms": draw_norms(newest_point(points), points[0]),
    }
    for name, figure in figures.items():
        write_atomically(folder / "charts" / f"{name}.png", png_bytes(figure))
    write_page(record, folder)


def write_page(record, folder):
    """Write slim.html alone, which takes a few milliseconds: between two epochs, say. Raises as write_report does."""
    folder = Path(folder)
    best = folder / BEST
    output = record["output"] or (str(best) if best.is_file() else None)
    write_atomically(folder / PAGE, page(record, output).encode())
