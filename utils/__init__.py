"""Data, training, pruning and deployment of detectors.

The environment of PyTorch and ONNX Runtime is set here, because both read it while they are imported.
"""

import os

# A thread of GNU OpenMP that waits spins, for milliseconds by default. Where other processes want the cores too, it
# keeps out the very thread that it waits for: epochs take several times as long. Some microseconds cost nothing.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# ONNX Runtime would otherwise write a device id and a queue of events under the user's cache folder.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
