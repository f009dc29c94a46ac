"""The commands as functions: keyword arguments are the options, results are objects. See docs/PYTHON.md.

Importing this needs no PyTorch; a call does.
"""

from utils.errors import InputError
from utils.progress import Event
from yolov5_slim.functions import export, finetune, prune, slim, sparsify, train, val
from yolov5_slim.results import ExportResult, Network, PruneResult, Scores, SlimResult, TrainResult, ValResult

__all__ = [
    "Event",
    "ExportResult",
    "InputError",
    "Network",
    "PruneResult",
    "Scores",
    "SlimResult",
    "TrainResult",
    "ValResult",
    "export",
    "finetune",
    "prune",
    "slim",
    "sparsify",
    "train",
    "val",
]
