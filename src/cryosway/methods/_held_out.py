"""Particles that are kept from training, and how two models compare on them."""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

MOST_PARTICLES = 20_000
"""So many tell what a few numbers per shell, or one map, need."""
_SURE = 3.0  # standard errors


def choose_rows(count: int, most: int, seed: int) -> Rows:
    """Choose at most `most` of `count` rows at random, in order."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])


def choose_held_out(count: int, share: float, seed: int) -> Rows:
    """Choose the rows of a share of `count` particles that are not trained on, in order."""
    return choose_rows(count, round(share * count), seed)


@final
@dataclass(frozen=True)
class Gain:
    """By how much one model describes particles better than another, nats per particle.

    Attributes
    ----------
    difference, standard_error
        Mean over the particles, each compared with itself.
    """

    difference: float
    standard_error: float

    @classmethod
    def measure(cls, ours: FloatArray, theirs: FloatArray) -> "Gain":
        """Compare log likelihoods (n,) of the same particles."""
        each = ours - theirs
        error = each.std(ddof=1) / np.sqrt(len(each)) if len(each) > 1 else np.inf
        return cls(float(each.mean()), float(error))

    @property
    def better(self) -> bool:
        """Whether the first is surely the better one."""
        return self.difference > _SURE * self.standard_error

    @property
    def worse(self) -> bool:
        """Whether the first is surely the worse one."""
        return self.difference < -_SURE * self.standard_error

    def judge(self, better: str, worse: str, neither: str = "undecided") -> str:
        """Give the word for what the comparison says."""
        if self.better:
            return better
        return worse if self.worse else neither
