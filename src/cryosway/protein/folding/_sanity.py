"""Whether a predicted structure can be one: what no confidence of the network tells."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cryosway.protein.prediction import Prediction

FloatArray = NDArray[np.float64]

#: Å between the Cα of neighbours in a chain: of cis and of trans peptides.
_CIS, _TRANS = (2.7, 3.2), (3.5, 4.1)
_CLASH = 3.0  # Å between Cα of residues that are no neighbours
_MANY = 0.02  # share of residues
_SURE = 0.95  # pTM
_LOW_PLDDT = 50.0
#: Radius of gyration over 2.2 N^0.38 Å, that of folded proteins.
_DENSE, _SPREAD = 0.6, 2.5
_FEWEST: Final = 20


def find_flaws(prediction: Prediction) -> list[str]:
    """List what is implausible in a prediction, each in a few words; an empty list is good.

    Bonds of the chain, clashes of Cα, the size; and a pTM near 1 that is at odds with these or
    with a low pLDDT, as networks give for nonsense (above 1,000 residues without chunks).
    """
    alpha, owners = _find_alphas(prediction)
    flaws = []
    steps = _chain_steps(alpha, owners, prediction)
    off = ~(_within(steps, _CIS) | _within(steps, _TRANS))
    if len(steps) and off.mean() > _MANY:
        flaws.append(f"{int(off.sum())} of {len(steps)} Cα–Cα steps are not 3.8 Å")
    clashes = _count_clashes(alpha, owners)
    if clashes > max(1, _MANY * len(alpha)):
        flaws.append(f"{clashes} pairs of Cα closer than {_CLASH:.0f} Å")
    size = _relative_size(alpha)
    if len(alpha) >= _FEWEST and not _DENSE < size < _SPREAD:
        flaws.append(f"{size:.1f} times the size of a folded protein")
    sure = prediction.ptm is not None and prediction.ptm > _SURE
    if sure and (flaws or prediction.mean_plddt < _LOW_PLDDT):
        flaws.append(f"a pTM of {prediction.ptm:.3f}, which the rest contradicts")
    return flaws


def _find_alphas(prediction: Prediction) -> tuple[FloatArray, NDArray[np.intp]]:
    """Positions (n, 3) of Cα, and the residue that each is of."""
    rows = np.flatnonzero(prediction.atoms.atom_names == "CA")
    owners = np.searchsorted(prediction.starts, rows, side="right") - 1
    return prediction.atoms.coordinates[rows], owners.astype(np.intp)


def _chain_steps(alpha: FloatArray, owners: NDArray[np.intp], prediction: Prediction) -> FloatArray:
    chains = prediction.chains[owners]
    numbers = prediction.atoms.residue_numbers[prediction.starts][owners]
    joined = (chains[1:] == chains[:-1]) & (np.diff(numbers) == 1)
    return np.asarray(np.linalg.norm(np.diff(alpha, axis=0), axis=1)[joined], np.float64)


def _within(values: FloatArray, limits: tuple[float, float]) -> NDArray[np.bool_]:
    return (values >= limits[0]) & (values <= limits[1])


def _count_clashes(alpha: FloatArray, owners: NDArray[np.intp]) -> int:
    pairs = cKDTree(alpha).query_pairs(_CLASH, output_type="ndarray")
    return int((np.abs(owners[pairs[:, 0]] - owners[pairs[:, 1]]) > 1).sum())


def _relative_size(alpha: FloatArray) -> float:
    radius = np.sqrt(((alpha - alpha.mean(0)) ** 2).sum(1).mean())
    return float(radius / (2.2 * len(alpha) ** 0.38))
