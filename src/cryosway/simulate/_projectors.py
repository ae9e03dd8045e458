"""Choose the projector that the options ask for."""

from cryosway._errors import CryoswayError
from cryosway.simulate._options import SimulateOptions
from cryosway.simulate._project import (
    DirectProjector,
    NufftProjector,
    Projector,
    SliceProjector,
    VoxelProjector,
    has_finufft,
)
from cryosway.simulate._scattering import Potential
from cryosway.simulate._states import States
from cryosway.simulate._truth_volume import sample_density


def get_potential(options: SimulateOptions) -> Potential:
    """Give the potential that the options describe."""
    return Potential(options.potential, options.resolution, options.atom_bfactor, options.solvent)


def build_projector(states: States, options: SimulateOptions, threads: int) -> Projector:
    """Build the projector of the states' densities.

    Raises
    ------
    CryoswayError
        If the projector needs atoms but maps are given, or needs finufft and it is missing.
    """
    if states.maps:
        return _build_for_maps(states, options, threads)
    groups = [get_potential(options).group(atoms) for atoms in states.atoms]
    if options.projector == "voxel":
        volumes = [sample_density(g, options.box, options.pixel_size) for g in groups]
        return VoxelProjector(volumes, threads=threads)
    wants_nufft = options.projector == "nufft" or (options.projector == "auto" and has_finufft())
    chosen = NufftProjector if wants_nufft else DirectProjector
    return chosen(groups, options.box, options.pixel_size, threads=threads)


def _build_for_maps(states: States, options: SimulateOptions, threads: int) -> Projector:
    if options.projector == "direct":
        msg = "projector='direct' sums over atoms, but maps are given; use 'nufft' or 'voxel'"
        raise CryoswayError(msg)
    if options.projector == "voxel" or (options.projector == "auto" and not has_finufft()):
        return VoxelProjector(states.maps, threads=threads)
    return SliceProjector(states.maps, threads=threads)
