"""Which parts of a model may be missing in particles: chains, or what the user names."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.methods._options import StructuralOptions
from cryosway.protein import CoarseModel, select_residues

IndexArray = npt.NDArray[np.int64]

_LEAST_MASS = 0.02  # of the model: lighter chains are not seen in single images
_MOST_TESTED = 16
_MOST_VARIED = 6  # without a test: all their compositions are weighed, 2 to the power of it


@dataclass(frozen=True)
class BeadGroups:
    """Groups of beads that are present or missing together.

    Attributes
    ----------
    names
        Of the G groups, as columns and sentences have them: ``B``, or ``B_C`` for chains B and C.
    part
        Shape (N,): 1 … G for beads of the groups, 0 for those that are always there.
    """

    names: tuple[str, ...]
    part: IndexArray

    def __len__(self) -> int:
        return len(self.names)

    def keep(self, chosen: Sequence[int]) -> "BeadGroups":
        """Give some of the groups, numbered from 1; all other beads are always there."""
        part = np.zeros_like(self.part)
        for number, group in enumerate(chosen, start=1):
            part[self.part == group] = number
        return BeadGroups(tuple(self.names[group - 1] for group in chosen), part)

    def label(self, group: int) -> str:
        """Name group 1 … G in a sentence."""
        name = self.names[group - 1]
        if "_" in name:
            return f"the group {name}"
        return f"chain {name}"


def spread_groups(part: Tensor, present: Tensor) -> Tensor:
    """Give factors (n, N) of the beads, of those (n, G) of the groups; `part` (N,) says whose."""
    always = present.new_ones(len(present), 1)
    return torch.cat([always, present], dim=1)[:, part]


def choose_groups(model: CoarseModel, options: StructuralOptions) -> BeadGroups:
    """Make the groups that the options ask for.

    Raises
    ------
    CryoswayError
        When selections do not fit the model or each other, or are too many.
    """
    texts, tested = options.occupancy_of, options.occupancy == "auto"
    if options.occupancy == "none":
        if texts:
            msg = "--occupancy-of names parts of the model, but --occupancy is none: leave one out"
            raise CryoswayError(msg)
        return BeadGroups((), np.zeros(len(model), np.int64))
    most = _MOST_TESTED if tested else _MOST_VARIED
    if len(texts) > most:
        msg = f"{len(texts)} parts of the model have an occupancy, but at most {most} can: " + (
            "name fewer" if tested else "name fewer, or let --occupancy auto find those that vary"
        )
        raise CryoswayError(msg)
    return group_selections(model, texts) if texts else group_chains(model, most)


def group_chains(model: CoarseModel, most: int = _MOST_TESTED) -> BeadGroups:
    """Make a group of every chain that single images can show, of the heaviest ones at most."""
    names, chain = np.unique(model.chains, return_inverse=True)
    mass = np.bincount(chain, model.amplitudes)
    heavy = np.flatnonzero(mass >= _LEAST_MASS * mass.sum())
    # A model of one chain has nothing that could be missing and leave a particle.
    heavy = heavy[np.argsort(-mass[heavy], kind="stable")][:most] if len(names) > 1 else heavy[:0]
    part = np.zeros(len(names), np.int64)
    part[np.sort(heavy)] = np.arange(1, len(heavy) + 1)
    return BeadGroups(tuple(str(name) for name in names[np.sort(heavy)]), part[chain])


def group_selections(model: CoarseModel, texts: Sequence[str]) -> BeadGroups:
    """Make a group of each selection, as ``A``, ``B,C`` or ``/A:50-60``.

    Raises
    ------
    CryoswayError
        When a selection names nothing, or beads that another one has.
    """
    part = np.zeros(len(model), np.int64)
    for number, text in enumerate(texts, start=1):
        beads = select_residues(model, text)
        if part[beads].any():
            other = texts[int(part[beads].max()) - 1]
            msg = f"occupancy of {text!r} and of {other!r}: both name the same residues; part them"
            raise CryoswayError(msg)
        part[beads] = number
    return BeadGroups(tuple(_as_column(text) for text in texts), part)


def _as_column(text: str) -> str:
    """Make a name of letters, digits and _ of a selection."""
    kept = "".join(letter if letter.isalnum() else "_" for letter in text)
    return "_".join(word for word in kept.split("_") if word)
