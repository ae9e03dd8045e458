"""Simulate particle images of atomic models, trajectories or maps, with known answers."""

from cryosway.simulate._adenylate_kinase import adenylate_kinase_states
from cryosway.simulate._assembly import (
    ASSEMBLY_BLOCKS,
    ASSEMBLY_COUNTS,
    ASSEMBLY_STATES,
    list_assembly_states,
)
from cryosway.simulate._benchmark_states import (
    BENCHMARK_KINDS,
    BenchmarkStates,
    build_benchmark_states,
)
from cryosway.simulate._hinge import list_hinge_states, turn_arm
from cryosway.simulate._options import SimulateOptions
from cryosway.simulate._scattering import Potential
from cryosway.simulate._simulate import SimulatedSet, simulate
from cryosway.simulate._truth_volume import truth_volume

__all__ = [
    "ASSEMBLY_BLOCKS",
    "ASSEMBLY_COUNTS",
    "ASSEMBLY_STATES",
    "BENCHMARK_KINDS",
    "BenchmarkStates",
    "Potential",
    "SimulateOptions",
    "SimulatedSet",
    "adenylate_kinase_states",
    "build_benchmark_states",
    "list_assembly_states",
    "list_hinge_states",
    "simulate",
    "truth_volume",
    "turn_arm",
]
