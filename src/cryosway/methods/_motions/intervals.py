"""Particles whose latents, distances or angles lie in an interval."""

import difflib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from cryosway._errors import CryoswayError

Interval = tuple[str, float, float]


def find_inside(table: pd.DataFrame, intervals: Sequence[Interval]) -> npt.NDArray[np.bool_]:
    """Tell which rows lie in all intervals, ends included; a missing value lies in none.

    Parameters
    ----------
    table : DataFrame
        One row per particle.
    intervals : sequence of (name, lowest, highest)
        In the unit of the column.

    Returns
    -------
    ndarray, shape (N,), bool

    Raises
    ------
    CryoswayError
        When there is no such column of numbers, or an interval is empty.
    """
    inside = np.ones(len(table), bool)
    for name, low, high in intervals:
        if not low <= high:
            message = f"--interval {name} {low:g} {high:g} holds nothing: give the lower end first"
            raise CryoswayError(message)
        values = _read_column(table, name)
        within = (values >= low) & (values <= high)
        if not within.any():
            found = values[np.isfinite(values)]
            ends = f"{found.min():.4g} to {found.max():.4g}" if len(found) else "no number"
            message = f"no particle has {name} from {low:g} to {high:g}: it goes from {ends}"
            raise CryoswayError(message)
        inside &= within
    return inside


def _read_column(table: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    numeric = [str(column) for column in table.select_dtypes("number")]
    if name in numeric:
        return table[name].to_numpy(np.float64)
    near = difflib.get_close_matches(name, numeric, 1)
    advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(numeric)}"
    raise CryoswayError(f"the particles have no column of numbers {name!r}; {advice}")


def parse_interval(text: str) -> Interval:
    """Read an interval as it is typed: the column, then both ends, of which one may be left out.

    Examples
    --------
    >>> parse_interval("z1=-1:0.5")
    ('z1', -1.0, 0.5)
    >>> parse_interval("contrast=0.7:")
    ('contrast', 0.7, inf)

    Raises
    ------
    CryoswayError
        When it is written in another way.
    """
    name, equals, ends = text.partition("=")
    low, colon, high = ends.partition(":")
    try:
        if not (name.strip() and equals and colon and (low.strip() or high.strip())):
            raise ValueError
        return name.strip(), float(low or "-inf"), float(high or "inf")
    except ValueError:
        message = f"{text!r} is not an interval; write it as z1=-1:0.5, or with one end as z1=:0.5"
        raise CryoswayError(message) from None
