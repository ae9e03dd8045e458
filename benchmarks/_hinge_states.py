"""A two-domain hinge of 7CTH that turns full circle, as the IgG-1D set of CryoBench.

The body is the dimer of envelope proteins E (chains B and C), the arm the two antibody fragments
(H with L, I with M) stacked as the variable and constant halves of a Fab are. Masses are those of
an antibody: 100 kDa, and 48 kDa that move.
"""

from cryosway.protein import AtomTable
from cryosway.simulate import turn_arm

BODY = ("B", "C")
ARM_HALVES = (("H", "L"), ("I", "M"))


def make_hinge_states(atoms: AtomTable) -> list[AtomTable]:
    """Atoms of every state; the body stands still, with its long axis along z."""
    return turn_arm(atoms.select_chains(BODY), [atoms.select_chains(c) for c in ARM_HALVES])
