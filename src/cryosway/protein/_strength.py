"""How strongly atoms scatter electrons, and what a truncated residue lacks of it."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

import gemmi
import numpy as np
from numpy.typing import NDArray

from cryosway.protein._residues import heavy_atoms

FloatArray = NDArray[np.float64]
Scattering = Literal["electron", "number"]

#: What a nucleotide at the start of a chain rightly lacks.
_PHOSPHATE = {"P": 1, "O": 2}


@lru_cache(maxsize=256)
def element_strength(element: str, scattering: Scattering = "electron") -> float:
    """Give the strength with which an element scatters forward.

    ``electron``: f(0) of the electron scattering factor, Å (Peng et al., Acta Cryst. A52, 1996;
    the sum of its five amplitudes). ``number``: the atomic number, as in molmap densities.
    Unknown elements count as carbon.

    Examples
    --------
    >>> round(element_strength("C"), 2), element_strength("C", "number")
    (2.51, 6.0)
    """
    known = gemmi.Element(element)
    known = known if known.atomic_number else gemmi.Element("C")
    if scattering == "number":
        return float(known.atomic_number)
    amplitudes: list[float] = (known.c4322 or gemmi.Element("C").c4322).a
    return float(sum(amplitudes))


def atom_strengths(elements: NDArray[np.str_], scattering: Scattering) -> FloatArray:
    """Give the strength of every atom, shape (N,); see `element_strength`."""
    kinds, index = np.unique(elements, return_inverse=True)
    table = np.array([element_strength(str(kind), scattering) for kind in kinds], np.float64)
    return np.asarray(table[index], np.float64)


def missing_strength(
    name: str, present: Mapping[str, int], scattering: Scattering, *, starts_chain: bool = False
) -> float:
    """Give the strength of the heavy atoms that a residue lacks, 0 for unknown residues.

    Parameters
    ----------
    name
        Of the residue.
    present
        How many atoms of each element it has.
    scattering
        See `element_strength`.
    starts_chain
        Whether nothing is bonded before it; then a nucleotide need have no phosphate.
    """
    expected = heavy_atoms(name) or {}
    spared = _PHOSPHATE if starts_chain and "P" in expected and not present.get("P") else {}
    lacking = {
        element: count - spared.get(element, 0) - present.get(element, 0)
        for element, count in expected.items()
    }
    return sum(n * element_strength(e, scattering) for e, n in lacking.items() if n > 0)
