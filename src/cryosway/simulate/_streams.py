"""Independent streams of random numbers, by name and by image.

Per-image streams make a simulation independent of batches and threads: image i always sees the
same numbers.
"""

from zlib import crc32

import numpy as np


def open_stream(seed: int, name: str) -> np.random.Generator:
    """Open the stream of one purpose (``"views"``, ``"defocus"``, …)."""
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence([seed, crc32(name.encode())]))
    )


def open_image_stream(seed: int, name: str, index: int) -> np.random.Generator:
    """Open the stream of one purpose for one image."""
    key = np.array([seed & (2**64 - 1), (crc32(name.encode()) << 32) + 1], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, index, 0]))
