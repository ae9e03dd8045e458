"""Parts of a file of sequences: by ``--shard``, or by the processes that torchrun starts."""

import os
from pathlib import Path

from cryosway.engine import find_place, select_device


def find_part(shard: tuple[int, int], device: str) -> tuple[tuple[int, int], str]:
    """Find which part of the work is this process's, and on which device.

    Parameters
    ----------
    shard
        As the option says; (1, 1) where it says nothing, so that torchrun may.
    device
        As the user says; each process of a machine takes a GPU of its own.
    """
    place = find_place(os.environ)
    if shard[1] > 1 or place is None:
        return shard, device
    if device in ("auto", "cuda") and select_device(device).type == "cuda":
        device = f"cuda:{place['LOCAL_RANK']}"
    return (int(place["RANK"]) + 1, int(place["WORLD_SIZE"])), device


def choose_folder(out: str | Path, shard: tuple[int, int]) -> Path:
    """Choose the job folder: the one given, or for a part of several a folder in it."""
    part, parts = shard
    return Path(out) if parts == 1 else Path(out) / f"part-{part}-of-{parts}"
