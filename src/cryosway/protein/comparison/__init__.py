"""How alike structures are: RMSD, TM-score and lDDT of residues matched by sequence."""

from cryosway.protein.comparison._comparison import (
    Comparison,
    compare_structures,
    superpose_on,
)
from cryosway.protein.comparison._matching import ResidueMatch, match_residues
from cryosway.protein.comparison._similarity import (
    LDDT_LIMITS,
    LDDT_RADIUS,
    LocalDistances,
    measure_lddt,
    measure_tm,
    tm_scale,
)

__all__ = [
    "LDDT_LIMITS",
    "LDDT_RADIUS",
    "Comparison",
    "LocalDistances",
    "ResidueMatch",
    "compare_structures",
    "match_residues",
    "measure_lddt",
    "measure_tm",
    "superpose_on",
    "tm_scale",
]
