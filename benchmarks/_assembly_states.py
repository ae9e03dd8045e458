"""Assembly states of the large ribosomal subunit, cut from 4V5D.

The subunit is cut into a core and six blocks, each a range of 23S rRNA and the proteins that
touch it most. The states are those of a branched assembly path: some blocks come in any order,
and the shares of the states are very unequal.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from cryosway.protein import AtomTable
from cryosway.simulate import ASSEMBLY_BLOCKS, ASSEMBLY_STATES

Bools = npt.NDArray[np.bool_]

RRNA, SMALL_RRNA = "BA", "BB"
CORE = "core"
# Ranges of 23S rRNA (numbers of E. coli, which 4V5D uses); where they overlap the later one counts.
BLOCK_RANGES: dict[str, tuple[tuple[int, int], ...]] = {
    CORE: ((1, 1262), (2626, 2902)),  # domains I, II and VI
    "base": ((1263, 1645),),  # domain III
    "interface": ((1646, 2010),),  # domain IV
    "centre": ((2011, 2625),),  # domain V without what follows
    "protuberance": ((832, 940), (2240, 2430)),  # H38, H80–H88, and 5S rRNA
    "L1 stalk": ((2093, 2196),),  # H76–H78
    "L11 stalk": ((1030, 1124),),  # H42–H44
}
CONTACT = 5.0  # Å
# L9 sticks out of the particle to touch a neighbour in the crystal.
LEFT_OUT = ("BI",)


def cut_blocks(atoms: AtomTable) -> dict[str, Bools]:
    """Assign every atom of the large subunit to one block.

    Returns
    -------
    Masks (N,) by block; chains of the small subunit, tRNA, mRNA and L9 are in none.
    """
    block = np.full(len(atoms), "", dtype="<U16")
    rrna = atoms.chains == RRNA
    for name, ranges in BLOCK_RANGES.items():
        for first, last in ranges:
            inside = (atoms.residue_numbers >= first) & (atoms.residue_numbers <= last)
            block[rrna & inside] = name
    block[atoms.chains == SMALL_RRNA] = "protuberance"
    chains = np.unique(atoms.chains[np.char.startswith(atoms.chains, "B")]).tolist()
    waiting = [chain for chain in chains if chain not in (RRNA, SMALL_RRNA, *LEFT_OUT)]
    while waiting:  # a protein that touches no rRNA goes with the proteins that it touches
        trees = {name: cKDTree(atoms.coordinates[block == name]) for name in BLOCK_RANGES}
        hosts = {c: _find_host(atoms.coordinates[atoms.chains == c], trees) for c in waiting}
        for chain, host in hosts.items():
            block[atoms.chains == chain] = host or ""
        waiting = [chain for chain in waiting if not hosts[chain] and any(hosts.values())]
    return {name: block == name for name in BLOCK_RANGES}


def _find_host(coordinates: npt.NDArray[np.float64], trees: Mapping[str, cKDTree]) -> str | None:
    """Block that most atoms of the protein touch, if they touch any."""
    touching = {
        name: np.count_nonzero(
            np.isfinite(tree.query(coordinates, distance_upper_bound=CONTACT)[0])
        )
        for name, tree in trees.items()
    }
    most = max(touching, key=lambda name: touching[name])
    return most if touching[most] else None


def make_assembly_states(atoms: AtomTable) -> list[AtomTable]:
    """Atoms of every state, in the frame of 4V5D."""
    blocks = cut_blocks(atoms)
    return [
        atoms[np.any([blocks[CORE], *(blocks[ASSEMBLY_BLOCKS[x]] for x in letters)], axis=0)]
        for letters in ASSEMBLY_STATES
    ]
