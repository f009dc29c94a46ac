"""Going on after torchrun has started the processes of a run again (--max-restarts)."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from utils.files.paths import RunFolder
from utils.training.distributed import ProcessGroup, shared_store

KEY = "folder of the run"  # in the store


def remember(folder: RunFolder, processes: ProcessGroup) -> None:
    """Tell processes that will be started again which folder the run has."""
    if processes.attempt is not None and processes.main:
        shared_store().set(KEY, json.dumps([str(folder.path.resolve()), time.time()]))


def restarted(options: Any, processes: ProcessGroup) -> Any:
    """Return TrainOptions as they are, or of processes that were started again, those with which the run goes on.

    It goes on from its last.pt; without one it begins anew, in the same folder.
    """
    if not processes.attempt or options.resume:
        return options
    store = shared_store()
    if not store.check([KEY]):
        return options
    path, began = json.loads(store.get(KEY))
    last = RunFolder(Path(path)).last
    if last.is_file() and last.stat().st_mtime >= began:
        return replace(options, resume=str(last))
    return replace(options, project=str(Path(path).parent), name=Path(path).name, exist_ok=True)
