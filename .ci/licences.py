"""The licences of all packages that the project needs, direct and through others; fails on one that would bind it."""

import re
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

BINDING = re.compile(r"\bA?GPL|GNU (Affero )?General Public", re.IGNORECASE)
LESSER = re.compile(r"LGPL|Lesser General|with exceptions?", re.IGNORECASE)
NAME = re.compile(r"[A-Za-z0-9._-]+")


def needed(names: Iterable[str]) -> dict[str, Distribution]:
    """Return {name: distribution} of packages and of all that they need on this machine."""
    found, waiting = {}, list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue  # for another system, or optional
        rows = [row for row in found[name].requires or () if "extra ==" not in row]
        waiting += [NAME.match(row)[0] for row in rows]
    return found


def licence(package: Distribution) -> str:
    """Return what a distribution says of its licence, in one line."""
    facts = package.metadata
    classifiers = [row.rpartition(" :: ")[2] for row in facts.get_all("Classifier") or () if row.startswith("License")]
    text = facts.get("License-Expression") or ", ".join(classifiers) or facts.get("License") or "not said"
    return text.splitlines()[0][:80]


def main() -> list[str]:
    """Print a line for each package; return the names of those whose licence would bind the project."""
    files = [Path(__file__).parents[1] / name for name in ("requirements.txt", "requirements-dev.txt")]
    rows = [row for file in files for row in file.read_text().splitlines() if row.strip() and not row.startswith("#")]
    packages = needed(NAME.match(row)[0] for row in rows)
    for name, package in sorted(packages.items()):
        print(f"{name:30} {package.version:16} {licence(package)}")
    texts = {name: licence(package) for name, package in packages.items()}
    return [name for name, text in texts.items() if BINDING.search(text) and not LESSER.search(text)]


if __name__ == "__main__":
    bound = main()
    sys.exit(f"licences that bind: {', '.join(bound)}" if bound else 0)
