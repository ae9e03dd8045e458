"""Tables with a row per particle as any program can write them: npy, npz, text, csv, pickle."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.particles import load_array_series

SUFFIXES = (".npy", ".txt", ".csv", ".pkl", ".parquet")


def find_rows(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Find the first file of these names with any of the known endings."""
    paths = (folder / f"{name}{suffix}" for name in names for suffix in SUFFIXES)
    return next((path for path in paths if path.exists()), None)


def read_rows(path: Path) -> NDArray[Any]:
    """Read numbers, one row per particle, shape (n,) or (n, k).

    Text files have numbers separated by spaces, csv a line of names first; of a pickle the first
    array counts, as in cryoDRGN's ``z.pkl``.

    Raises
    ------
    CryoswayError
        If the file cannot be read or holds something else.
    """
    try:
        rows = _read(path)
    except CryoswayError:
        raise
    except (OSError, ValueError, TypeError) as error:
        msg = f"{path} holds no table of numbers with a row per particle ({error}); write it again"
        raise CryoswayError(msg) from None
    if rows.ndim not in (1, 2) or not np.issubdtype(rows.dtype, np.number):
        msg = f"{path} has shape {rows.shape} and type {rows.dtype}; give a row of numbers each"
        raise CryoswayError(msg)
    bad = np.flatnonzero(~np.isfinite(np.asarray(rows, np.float64)).reshape(len(rows), -1).all(1))
    if len(bad):
        raise CryoswayError(f"{path} row {bad[0] + 1} is not finite; mend or leave out the row")
    return rows


def _read(path: Path) -> NDArray[Any]:
    if path.suffix == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    if path.suffix == ".pkl":
        return np.asarray(load_array_series(path)[0])
    if path.suffix == ".csv":
        return pd.read_csv(path).to_numpy()
    if path.suffix == ".parquet":
        return pd.read_parquet(path).to_numpy()
    return np.loadtxt(path, ndmin=1)
