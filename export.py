"""Export a detector to the formats of other runtimes, and prove that each file is the same detector."""

from utils.cli.start import run

if __name__ == "__main__":
    run("utils.export.options:ExportOptions", "utils.export.export:export_or_fail", __doc__)
