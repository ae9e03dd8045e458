"""The regions of a model that an audit tells apart, and references that are wrong in one."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from cryosway._errors import CryoswayError
from cryosway.protein import AtomTable, CoarseModel, describe_residues, find_domains
from cryosway.protein import select_residues as find_residues
from cryosway.volumes import nearest_seeds

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]

_LEAST_BEADS = 5
_LARGEST = 0.6  # of the model, that may be taken away or turned
_PARTS = 3  # where neither domains nor chains part a model
_TOUCH = 10.0  # Å, between a region and the rest


@dataclass(frozen=True, eq=False)
class Regions:
    """R regions of a model of N beads.

    Attributes
    ----------
    coarse
        The model.
    labels
        Shape (N,), int: from 1.
    ensemble
        Shape (M, N, 3), Å: conformations of some particles.
    kind
        domain, chain or part: how they were found.
    """

    coarse: CoarseModel
    labels: IndexArray
    ensemble: FloatArray
    kind: str

    @property
    def count(self) -> int:
        """How many."""
        return int(self.labels.max())

    @property
    def masks(self) -> npt.NDArray[np.bool_]:
        """Shape (R, N): the beads of each."""
        return np.asarray(self.labels == np.arange(1, self.count + 1)[:, None])

    @cached_property
    def motions(self) -> FloatArray:
        """Rms displacement of each from its mean position over the particles, (R,), Å."""
        square = self.ensemble.var(0).sum(-1)
        return np.array([np.sqrt(square[inside].mean()) for inside in self.masks])

    @cached_property
    def direction(self) -> FloatArray:
        """Shape (N, 3), of length 1: the direction of most motion of all beads."""
        flat = (self.ensemble - self.ensemble.mean(0)).reshape(len(self.ensemble), -1)
        _, _, found = np.linalg.svd(flat, full_matrices=False)
        return np.asarray(found[0].reshape(-1, 3), np.float64)

    def name(self, number: int) -> str:
        """Say which region and what residues it has."""
        members = np.flatnonzero(self.labels == number)
        return f"{self.kind} {number} ({describe_residues(self.coarse, members)})"

    def choose(self, wanted: str | None) -> IndexArray:
        """Choose the beads that control references are wrong in.

        Parameters
        ----------
        wanted
            Residues, as ChimeraX names them; by default those of the region that moves most and
            is no more than 60 % of the model.

        Raises
        ------
        CryoswayError
            When it has too few beads, or too many.
        """
        if wanted is not None:
            members = find_residues(self.coarse, wanted)
            share = len(members) / len(self.labels)
            if len(members) < _LEAST_BEADS or share > _LARGEST:
                msg = (
                    f"region {wanted} has {len(members)} of {len(self.labels)} residues; give "
                    f"{_LEAST_BEADS} at least, and {100 * _LARGEST:.0f} % of the model at most"
                )
                raise CryoswayError(msg)
            return members
        sizes = self.masks.mean(1)
        fit = (sizes <= _LARGEST) & (self.masks.sum(1) >= _LEAST_BEADS)
        if not fit.any():
            msg = (
                "no domain, chain or part of the model can be taken away for the audit; say which "
                "residues, as --region /A:30-59"
            )
            raise CryoswayError(msg)
        number = int(np.argmax(np.where(fit, self.motions, -1.0)))
        return np.flatnonzero(self.masks[number])


def find_regions(coarse: CoarseModel, ensemble: FloatArray) -> Regions:
    """Part a model by its rigid domains; where there are none by chains, else by position.

    Parameters
    ----------
    coarse
        The model.
    ensemble
        Shape (M, N, 3), Å: its conformations.
    """
    least = min(20, max(_LEAST_BEADS, len(coarse) // 4))
    domains = find_domains(ensemble, coarse.chains, least_residues=least)
    if domains.count > 1:
        return Regions(coarse, domains.labels, ensemble, "domain")
    names, chain = np.unique(coarse.chains, return_inverse=True)
    if len(names) > 1:
        return Regions(coarse, chain.astype(np.intp) + 1, ensemble, "chain")
    near = nearest_seeds(torch.from_numpy(coarse.coordinates), _PARTS).numpy()
    return Regions(coarse, np.unique(near, return_inverse=True)[1] + 1, ensemble, "part")


def remove_region(coarse: CoarseModel, members: IndexArray) -> AtomTable:
    """Give the atoms of a model without those that are of some beads, or ride with them."""
    return coarse.atoms[~np.isin(coarse.atom_to_bead, members)]


def turn_region(coarse: CoarseModel, members: IndexArray, degrees: float) -> AtomTable:
    """Turn some beads' atoms about where they touch the rest, across the line between the two."""
    inside = np.zeros(len(coarse), bool)
    inside[members] = True
    own, rest = coarse.coordinates[inside], coarse.coordinates[~inside]
    touching = np.asarray(cKDTree(rest).query(own)[0] < _TOUCH)
    pivot = own[touching].mean(0) if touching.any() else own.mean(0)
    along = own.mean(0) - rest.mean(0)
    axis = np.cross(along, np.eye(3)[np.abs(along).argmin()])
    turn = Rotation.from_rotvec(np.deg2rad(degrees) * axis / np.linalg.norm(axis))
    atoms = inside[coarse.atom_to_bead]
    x = coarse.atoms.coordinates.copy()
    x[atoms] = turn.apply(x[atoms] - pivot) + pivot
    return coarse.atoms.with_coordinates(x)
