"""Whether a loss curve has come to rest."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class CurveEnd:
    """The end of a loss curve.

    Attributes
    ----------
    slope
        Change per epoch over the last third, by least squares; negative where it still falls.
    slope_error
        Standard error of it, from the scatter about the line.
    fallen
        From the first epoch to the lowest.
    remaining
        Fall per epoch at the end, over all that it has fallen: 0 where it has come to rest.
    rises
        Whether it rises at the end, by three standard errors.
    """

    slope: float
    slope_error: float
    fallen: float
    remaining: float
    rises: bool


def measure_curve_end(losses: ArrayLike) -> CurveEnd | None:
    """Measure the slope of the last third of a loss curve, three epochs at least.

    Parameters
    ----------
    losses
        Shape (E,), one per epoch.

    Returns
    -------
    None for fewer than four epochs.

    Examples
    --------
    >>> rest = measure_curve_end([5, 3, 2, 1.5, 1.2, 1.1, 1.05, 1.02, 1.01, 1.0, 1.0, 1.0])
    >>> rest.remaining < 0.01
    True
    """
    curve = np.asarray(losses, np.float64)
    curve = curve[np.isfinite(curve)]
    if len(curve) < 4:
        return None
    last = curve[-max(3, len(curve) // 3) :]
    x = np.arange(len(last)) - (len(last) - 1) / 2
    slope = float(x @ last / (x @ x))
    left = last - last.mean() - slope * x
    error = float(np.sqrt(left @ left / max(len(last) - 2, 1) / (x @ x)))
    fallen = float(curve[0] - curve.min())
    remaining = max(-slope, 0.0) / max(fallen, 1e-30)
    return CurveEnd(slope, error, fallen, remaining, slope > 3 * error and slope > 1e-3 * fallen)
