"""Export a detector to the formats of other runtimes, and prove that each file is the same detector."""

import sys

from utils.cli.options import run
from utils.export.export import ExportOptions, export


def main(options: ExportOptions) -> None:
    """Export; end with exit code 1 when a file is not the same detector as the checkpoint."""
    if any(exported.broken for exported in export(options)):
        sys.exit(1)


if __name__ == "__main__":
    run(ExportOptions, main, __doc__)
