"""How atoms scatter: groups of atoms that share a radial form factor."""

from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray

from cryosway.protein import AtomTable
from cryosway.simulate._options import PotentialKind

FloatArray = NDArray[np.float64]

#: molmap's Gaussian: sigma / resolution = 1 / (π √2), so that its transform is 1/e at 1/resolution.
SIGMA_PER_RESOLUTION = 0.225

#: Scattering per volume of vitreous ice, Å⁻²: 3.04 Å per molecule, 0.93 g/cm³.
WATER_POTENTIAL = 0.0945

# Å³, Fraser et al. 1978.
_DISPLACED_VOLUMES = {"H": 5.15, "C": 16.44, "N": 2.49, "O": 9.13, "S": 19.86, "P": 5.73}


@dataclass(frozen=True)
class FormFactor:
    """A radial form factor: f(s) = Σ aᵢ exp(−bᵢ s²/4) + Gaussians only, s in 1/Å, b in Å²."""

    amplitudes: tuple[float, ...]
    widths: tuple[float, ...]

    def evaluate(self, s_squared: FloatArray) -> FloatArray:
        """Evaluate at squared spatial frequencies, 1/Å², any shape."""
        total = np.zeros_like(s_squared)
        for a, b in zip(self.amplitudes, self.widths, strict=True):
            total += a * np.exp(-0.25 * b * s_squared)
        return total


@dataclass(frozen=True, eq=False)
class AtomGroup:
    """Atoms with one form factor: coordinates (N, 3) in Å, weights (N,)."""

    coordinates: FloatArray
    weights: FloatArray
    form_factor: FormFactor


@dataclass(frozen=True)
class Potential:
    """Which potential to give atoms.

    Attributes
    ----------
    kind
        ``molmap``: Gaussians of weight Z; ``electron``: electron scattering factors.
    resolution
        Å, of molmap.
    bfactor
        Å², of the electron potential.
    solvent
        Whether the electron potential is that in water: less the water that atoms displace.
    """

    kind: PotentialKind = "molmap"
    resolution: float = 3.0
    bfactor: float = 100.0
    solvent: bool = False

    def group(self, atoms: AtomTable) -> list[AtomGroup]:
        """Sort atoms into groups of one form factor; weights carry Z (molmap) and occupancy."""
        if self.kind == "molmap":
            weights = atoms.atomic_numbers * atoms.occupancies
            return [AtomGroup(atoms.coordinates, weights, molmap_form_factor(self.resolution))]
        groups = []
        for element in np.unique(atoms.elements):
            chosen = atoms.elements == element
            factor = electron_form_factor(str(element), self.bfactor, solvent=self.solvent)
            groups.append(AtomGroup(atoms.coordinates[chosen], atoms.occupancies[chosen], factor))
        return groups


def molmap_form_factor(resolution: float) -> FormFactor:
    """Give exp(−2π²σ²s²), σ = 0.225 × resolution: the transform of molmap's unit Gaussian."""
    sigma = SIGMA_PER_RESOLUTION * resolution
    return FormFactor((1.0,), (8 * np.pi**2 * sigma**2,))


def electron_form_factor(element: str, bfactor: float, *, solvent: bool = False) -> FormFactor:
    """Give an element's electron scattering factor (International Tables C, 4.3.2.2), in Å.

    Five Gaussians (Peng et al., Acta Cryst. A52, 1996), less, where asked, the displaced water
    as a Gaussian of the atom's volume, ρ V exp(−π V^(2/3) s²) (Fraser et al., J. Appl. Cryst.
    11, 1978); all damped by exp(−B s²/4). Unknown elements count as carbon.
    """
    known = gemmi.Element(element)
    table = known.c4322 if known.atomic_number else None
    table = table or gemmi.Element("C").c4322
    amplitudes = tuple(table.a)
    widths = tuple(b + bfactor for b in table.b)
    if solvent:
        volume = _DISPLACED_VOLUMES.get(element, _DISPLACED_VOLUMES["C"])
        amplitudes += (-WATER_POTENTIAL * volume,)
        widths += (4 * np.pi * volume ** (2 / 3) + bfactor,)
    return FormFactor(amplitudes, widths)
