"""Kinds of volume: what a latent z decodes to, and how closed forms solve for it."""

from cryosway.volumes._atomic_model import AtomicModel
from cryosway.volumes._basis_grid import BasisGrid, SliceReader
from cryosway.volumes._deformation import Deformation, DeformationSpec, nearest_seeds
from cryosway.volumes._deformed_grid import DeformedGrid, voxel_points
from cryosway.volumes._latent_curves import LatentCurves
from cryosway.volumes._neural_field import FieldSpec, NeuralField
from cryosway.volumes._neural_volume import NeuralVolume, scale_base
from cryosway.volumes._normal_equations import NormalEquations, Slices
from cryosway.volumes._positional import ENCODINGS, make_wave_vectors

__all__ = [
    "ENCODINGS",
    "AtomicModel",
    "BasisGrid",
    "Deformation",
    "DeformationSpec",
    "DeformedGrid",
    "FieldSpec",
    "LatentCurves",
    "NeuralField",
    "NeuralVolume",
    "NormalEquations",
    "SliceReader",
    "Slices",
    "make_wave_vectors",
    "nearest_seeds",
    "scale_base",
    "voxel_points",
]
