"""Data, training, pruning and deployment of detectors.

Before PyTorch is imported, its threads are told to wait for each other less busily.
"""

import os

# A thread of GNU OpenMP that waits spins, for milliseconds by default. Where other processes want the cores too, it
# keeps out the very thread that it waits for: epochs take several times as long. Some microseconds cost nothing.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
