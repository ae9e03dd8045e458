"""Frames as a file that plays: GIF and WebP by Pillow, MP4 by PyAV where it is installed."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cryosway._errors import CryoswayError
from cryosway.engine import write_atomically
from cryosway.report._morph import encode_gif

Writer = Callable[[Path, Sequence[Image.Image], int], None]


def choose_writer(path: Path) -> Writer:
    """Choose by the name of the file how a movie is written.

    Parameters
    ----------
    path : Path
        Its name ends in ``.mp4``, ``.gif`` or ``.webp``.

    Returns
    -------
    callable
        Takes the path, RGB frames of one size, and frames per second.

    Raises
    ------
    CryoswayError
        When the kind is not known, or what writes it is not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        message = f"{path.name}: a movie is .mp4, .gif or .webp; name the file so"
        raise CryoswayError(message)
    if suffix == ".mp4" and find_spec("av") is None:
        message = (
            "an mp4 needs the package av; install it with: pip install cryosway[movie], or write a "
            ".gif or .webp instead"
        )
        raise CryoswayError(message)
    return _WRITERS[suffix]


def _write_gif(path: Path, images: Sequence[Image.Image], rate: int) -> None:
    with write_atomically(path) as temporary:
        temporary.write_bytes(encode_gif(images, round(1000 / rate), colours=256))


def _write_webp(path: Path, images: Sequence[Image.Image], rate: int) -> None:
    with write_atomically(path) as temporary:
        images[0].save(
            temporary, format="WEBP", save_all=True, append_images=list(images[1:]), loop=0,
            duration=round(1000 / rate), quality=80, method=4,
        )  # fmt: skip


def _write_mp4(path: Path, images: Sequence[Image.Image], rate: int) -> None:
    """Write H.264 that every browser and office program plays: even edges, 4:2:0."""
    av: Any = import_module("av")
    width, height = (edge - edge % 2 for edge in images[0].size)
    with (
        write_atomically(path) as temporary,
        av.open(str(temporary), "w", format="mp4") as container,
    ):
        stream = container.add_stream("libx264", rate=Fraction(rate))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "18", "preset": "medium"}
        for image in images:
            pixels = np.ascontiguousarray(np.asarray(image)[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


_WRITERS: dict[str, Writer] = {".gif": _write_gif, ".webp": _write_webp, ".mp4": _write_mp4}
