"""Folding: sequences to predictions by a network, and what trains one.

Not part of `cryosway.protein`'s own names, since it imports PyTorch.
"""

from cryosway.protein.folding._assembly import BREAK, LINKER, Assembly, lay_out, name_chain
from cryosway.protein.folding._batches import Failure, Outcome, fold_batch, plan_batches
from cryosway.protein.folding._confidence_heads import expected_errors, predicted_tm
from cryosway.protein.folding._engine import FileEngine, FoldingEngine
from cryosway.protein.folding._esmfold import SUBSTITUTES, EsmFold
from cryosway.protein.folding._esmfold2 import EsmFold2
from cryosway.protein.folding._file_names import choose_file_names
from cryosway.protein.folding._losses import (
    backbone_frames,
    frame_aligned_point_error,
    lddt_by_residue,
    lddt_loss,
)
from cryosway.protein.folding._new_network import make_esmfold, write_esmfold
from cryosway.protein.folding._sanity import find_flaws
from cryosway.protein.folding._trrosetta import TrRosetta
from cryosway.protein.folding._trrosetta_network import (
    PairDistributions,
    list_weights,
    read_alignment,
)

__all__ = [
    "BREAK",
    "LINKER",
    "SUBSTITUTES",
    "Assembly",
    "EsmFold",
    "EsmFold2",
    "Failure",
    "FileEngine",
    "FoldingEngine",
    "Outcome",
    "PairDistributions",
    "TrRosetta",
    "backbone_frames",
    "choose_file_names",
    "expected_errors",
    "find_flaws",
    "fold_batch",
    "frame_aligned_point_error",
    "lay_out",
    "lddt_by_residue",
    "lddt_loss",
    "list_weights",
    "make_esmfold",
    "name_chain",
    "plan_batches",
    "predicted_tm",
    "read_alignment",
    "write_esmfold",
]
