"""Penalties on gamma by name, and how their strength goes with a run."""

import math

PENALTIES = ("subgradient", "proximal", "group")
LEAST = 0.1  # of the strength is left at the end of a falling schedule
RISE = 0.2  # of the run is the warm-up of the strength
SCHEDULES = {  # share of the run done → share of the strength in force
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1 - (1 - LEAST) * progress,
    "cosine": lambda progress: LEAST + (1 - LEAST) * (1 + math.cos(math.pi * progress)) / 2,
    "warmup": lambda progress: min(progress / RISE, 1.0),
}
