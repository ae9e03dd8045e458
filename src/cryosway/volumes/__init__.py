"""Kinds of volume: what a latent z decodes to, and how closed forms solve for it."""

from cryosway.volumes._basis_grid import BasisGrid, SliceReader
from cryosway.volumes._normal_equations import NormalEquations, Slices

__all__ = ["BasisGrid", "NormalEquations", "SliceReader", "Slices"]
