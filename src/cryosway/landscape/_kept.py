"""Stages whose answers are kept, so that an interrupted command does not repeat them."""

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from cryosway._errors import CryoswayError
from cryosway._version import __version__
from cryosway.engine import load_tensors, save_tensors, show_stage

Arrays = dict[str, Any]


def keep_stage(
    folder: Path,
    label: str,
    key: Iterable[Any],
    make: Callable[[], Arrays],
    *,
    write: bool = True,
) -> Arrays:
    """Make the answer of a stage, or take that of an earlier call from the same data and options.

    Parameters
    ----------
    folder : Path
        Of the job; answers are in its ``checkpoints/``.
    label : str
        What is being done, as "density along 1 and 2"; also the name of the file.
    key : iterable
        All that the answer follows from: arrays, numbers, text.
    make : callable
        Gives the answer: arrays and numbers by name.
    write : bool
        Whether to keep the answer; False where the folder is only read.

    Returns
    -------
    dict
        What `make` gives, as arrays.
    """
    path = folder / "checkpoints" / f"{label.replace(' ', '_')}.safetensors"
    digest = _fingerprint(key)
    if path.exists():
        with suppress(CryoswayError):  # damaged: made anew
            arrays, meta = load_tensors(path)
            if meta.get("key") == digest:
                return arrays
    with show_stage(label):
        answer = {name: np.asarray(value) for name, value in make().items()}
    if write:
        path.parent.mkdir(exist_ok=True)
        save_tensors(path, answer, {"key": digest})
    return answer


def _fingerprint(key: Iterable[Any]) -> str:
    digest = hashlib.sha256(__version__.encode())
    for one in key:
        content = np.ascontiguousarray(one) if isinstance(one, np.ndarray) else None
        digest.update(repr(one if content is None else (content.shape, content.dtype)).encode())
        digest.update(b"" if content is None else content.tobytes())
    return digest.hexdigest()
