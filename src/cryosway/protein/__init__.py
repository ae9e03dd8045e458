"""Atomic models: reading, selecting, superposing and morphing them.

Coordinates are float64 in Å, shape (N, 3), (x, y, z).
"""

from cryosway.protein._atoms import AtomTable
from cryosway.protein._morph import match_atoms, morph_domains, morph_linearly
from cryosway.protein._read import read_structure
from cryosway.protein._superpose import Superposition, find_superposition, superpose_ensemble
from cryosway.protein._trajectory import Trajectory, read_trajectory
from cryosway.protein._write import write_structure

__all__ = [
    "AtomTable",
    "Superposition",
    "Trajectory",
    "find_superposition",
    "match_atoms",
    "morph_domains",
    "morph_linearly",
    "read_structure",
    "read_trajectory",
    "superpose_ensemble",
    "write_structure",
]
