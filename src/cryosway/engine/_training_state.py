"""Where a training is: what a checkpoint holds besides the tensors."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self, final

import numpy as np


@final
@dataclass
class RunningMeans:
    """Means of named values over items.

    Attributes
    ----------
    sums : dict[str, list of float]
        For each name the sum over items, and their number.

    Examples
    --------
    >>> means = RunningMeans()
    >>> means.add(["loss"], [2.0], 3)
    >>> means.add(["loss"], [6.0], 1)
    >>> means.take()
    {'loss': 3.0}
    """

    sums: dict[str, list[float]] = field(default_factory=dict)

    def add(self, names: Sequence[str], values: Sequence[float], items: int) -> None:
        """Add means over a batch of ``items``."""
        for name, value in zip(names, values, strict=True):
            total = self.sums.setdefault(name, [0.0, 0])
            total[0] += value * items
            total[1] += items

    def take(self) -> dict[str, float]:
        """Give the means and begin anew."""
        means = {name: total / items for name, (total, items) in self.sums.items()}
        self.sums = {}
        return means


@final
@dataclass
class TrainingState:
    """How far a training is.

    Attributes
    ----------
    epoch, batch : int
        The next batch, and its epoch, from 0.
    step : int
        Steps taken.
    parts : int
        Parts that a batch is split into, to fit into memory.
    of_epoch, of_row : RunningMeans
        Of this epoch, and since the last row of metrics.
    losses : dict[str, float]
        Means over the last whole epoch.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    parts: int = 1
    of_epoch: RunningMeans = field(default_factory=RunningMeans)
    of_row: RunningMeans = field(default_factory=RunningMeans)
    losses: dict[str, float] = field(default_factory=dict)

    def to_meta(self) -> dict[str, Any]:
        """Give plain values for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_meta(cls, meta: dict[str, Any]) -> Self:
        """Take up what `to_meta` gave."""
        means = {name: RunningMeans(**meta[name]) for name in ("of_epoch", "of_row")}
        return cls(**{**meta, **means})


def seed_of_step(seed: int, step: int, rank: int = 0) -> int:
    """Give the seed of the random numbers of a step in a process.

    Parameters
    ----------
    seed, step, rank : int
        What it depends on.

    Returns
    -------
    int
        63 bits.
    """
    state = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
