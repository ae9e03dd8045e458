"""Atomic models: reading, selecting, superposing, morphing and coarse-graining them.

Coordinates are float64 in Å, shape (N, 3), (x, y, z).
"""

from cryosway.protein._atoms import AtomTable
from cryosway.protein._checkpoint import (
    Checkpoint,
    convert_weights,
    fingerprint_files,
    load_network,
    open_checkpoint,
)
from cryosway.protein._coarse import CarriedResidue, CoarseModel
from cryosway.protein._coarse_grain import coarse_grain
from cryosway.protein._domain_motions import EXTREMES, DomainMotion, analyse_motion
from cryosway.protein._domains import STILL, Domains, find_domains
from cryosway.protein._morph import match_atoms, morph_domains, morph_linearly
from cryosway.protein._move import assemble_structures, move_structure
from cryosway.protein._moving_frames import MovingFrames, blend_near
from cryosway.protein._orientations import count_rotations, even_rotations
from cryosway.protein._read import read_ensemble, read_models, read_structure, select_atoms
from cryosway.protein._residue_selection import describe_residues, select_residues
from cryosway.protein._rigid_motions import RigidMotions, Screw, find_screw, fit_rigid_motions
from cryosway.protein._scatterers import Scatterers
from cryosway.protein._sequences import (
    AMINO_ACIDS,
    BadRecord,
    SequenceRecord,
    clean_records,
    read_sequences,
    stream_fasta,
)
from cryosway.protein._superpose import Superposition, find_superposition, superpose_ensemble
from cryosway.protein._trajectory import Trajectory, read_trajectory
from cryosway.protein._write import write_structure
from cryosway.protein.comparison import (
    Comparison,
    compare_structures,
    match_residues,
    measure_lddt,
    measure_tm,
)
from cryosway.protein.prediction import (
    Prediction,
    Restraints,
    find_restraints,
    find_scores,
    read_prediction,
    write_prediction,
)

__all__ = [
    "AMINO_ACIDS",
    "EXTREMES",
    "STILL",
    "AtomTable",
    "BadRecord",
    "CarriedResidue",
    "Checkpoint",
    "CoarseModel",
    "Comparison",
    "DomainMotion",
    "Domains",
    "MovingFrames",
    "Prediction",
    "Restraints",
    "RigidMotions",
    "Scatterers",
    "Screw",
    "SequenceRecord",
    "Superposition",
    "Trajectory",
    "analyse_motion",
    "assemble_structures",
    "blend_near",
    "clean_records",
    "coarse_grain",
    "compare_structures",
    "convert_weights",
    "count_rotations",
    "describe_residues",
    "even_rotations",
    "find_domains",
    "find_restraints",
    "find_scores",
    "find_screw",
    "find_superposition",
    "fingerprint_files",
    "fit_rigid_motions",
    "load_network",
    "match_atoms",
    "match_residues",
    "measure_lddt",
    "measure_tm",
    "morph_domains",
    "morph_linearly",
    "move_structure",
    "open_checkpoint",
    "read_ensemble",
    "read_models",
    "read_prediction",
    "read_sequences",
    "read_structure",
    "read_trajectory",
    "select_atoms",
    "select_residues",
    "stream_fasta",
    "superpose_ensemble",
    "write_prediction",
    "write_structure",
]
