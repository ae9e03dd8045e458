"""Is there heterogeneity? What a fit finds, against what it finds in homogeneous simulations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from cryosway.jobs import DOUBTFUL, SIGNIFICANT

FloatArray = NDArray[np.float64]
_FAR = 2.0  # times what noise gives


@dataclass(frozen=True, eq=False)
class Heterogeneity:
    """The verdict, direction by direction.

    Attributes
    ----------
    variance_explained
        Shape (K,): variance along each direction over the power of the mean map.
    noise_alone
        Shape (K,): the same, on average, in the homogeneous simulations.
    p_value
        Shape (K,): chance of a variance this large at the *first* direction of homogeneous data.
    """

    variance_explained: FloatArray
    noise_alone: FloatArray
    p_value: FloatArray

    @property
    def significant(self) -> int:
        """Number of leading directions that stand out from noise."""
        below = self.p_value < SIGNIFICANT
        return int(np.argmin(below)) if not below.all() else len(below)

    @property
    def verdict(self) -> str:
        """Heterogeneous; homogeneous; or undecided.

        Undecided where the first direction is far above what noise gives, but the simulations are
        too few to tell: with two, whose spread is hardly known, p < 0.01 takes fifty times as much.
        """
        if self.significant:
            return "heterogeneous"
        far = self.variance_explained[0] > _FAR * self.noise_alone[0]
        return "undecided" if far and self.p_value[0] < DOUBTFUL else "homogeneous"

    def describe(self) -> dict[str, object]:
        """As stored in job.json."""
        columns = (self.variance_explained, self.noise_alone, self.p_value)
        directions = [
            {"variance_explained": float(v), "noise_alone": float(n), "p_value": float(p)}
            for v, n, p in zip(*columns, strict=True)
        ]
        return {"verdict": self.verdict, "directions": directions}


def judge_heterogeneity(variances: ArrayLike, null_variances: Sequence[ArrayLike]) -> Heterogeneity:
    """Compare the variances found with those of B homogeneous simulations.

    The logarithm of the largest variance under the null is taken as normal with unknown mean and
    spread, estimated from its B values: the p-value is that of a new draw (Student's t with
    B − 1 degrees of freedom, spread times √(1 + 1/B)). The spread is not believed to be less than
    a tenth, lest a few values that happen to agree make anything significant.

    Parameters
    ----------
    variances
        Shape (K,), of the data.
    null_variances
        B arrays of shape (K,), B ≥ 2.
    """
    found = np.asarray(variances, np.float64)
    null = np.array([np.asarray(v, np.float64) for v in null_variances])
    tops = np.log(np.maximum(null[:, 0], 1e-12))
    count = len(tops)
    spread = max(float(tops.std(ddof=1)), 0.1) * np.sqrt(1 + 1 / count)
    t = (np.log(np.maximum(found, 1e-12)) - tops.mean()) / spread
    p_value = scipy.stats.t.sf(t, count - 1)
    return Heterogeneity(found, null.mean(0), np.asarray(p_value, np.float64))
