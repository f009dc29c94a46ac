"""How long a detector takes for one image on this machine."""

import statistics
import time
from copy import deepcopy

import torch

WARM_UP = 5


def measure_latency(models, image_size, rounds=50, threads=1, clock=time.perf_counter):
    """Return {name: median milliseconds an image} of several detectors in PyTorch on the CPU, float32, batch 1.

    The models take turns, so that whatever else the machine does hits all of them alike. Batch norms are folded.

    Args:
        models: {name: DetectionModel}.
        image_size: side in pixels, a multiple of the stride.
        rounds: how often each one runs.
        threads: computing threads during the measurement.
    """
    layout = {"memory_format": torch.channels_last}  # the faster one on CPUs
    ready = {name: deepcopy(model).float().cpu().eval().fuse().to(**layout) for name, model in models.items()}
    image = torch.rand(1, 3, image_size, image_size, generator=torch.Generator().manual_seed(0)).to(**layout)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    times = {name: [] for name in ready}
    try:
        with torch.inference_mode():
            for step in range(WARM_UP + rounds):
                for name, model in ready.items():
                    start = clock()
                    model(image)
                    if step >= WARM_UP:
                        times[name].append(clock() - start)
    finally:
        torch.set_num_threads(before)
    return {name: statistics.median(values) * 1000 for name, values in times.items()}
