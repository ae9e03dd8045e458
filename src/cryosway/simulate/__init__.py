"""Simulate particle images of atomic models, trajectories or maps, with known answers."""

from cryosway.simulate._adenylate_kinase import adenylate_kinase_states
from cryosway.simulate._options import SimulateOptions
from cryosway.simulate._scattering import Potential
from cryosway.simulate._simulate import SimulatedSet, simulate
from cryosway.simulate._truth_volume import truth_volume

__all__ = [
    "Potential",
    "SimulateOptions",
    "SimulatedSet",
    "adenylate_kinase_states",
    "simulate",
    "truth_volume",
]
