"""Particles: images with poses and CTF, read from and written to the files of every program."""

from cryosway.particles._contrast import ContrastEstimate, detect_contrast
from cryosway.particles._maps import MapInfo, read_map, write_map
from cryosway.particles._mrc import MrcLayout, read_layout
from cryosway.particles._particle_files import ParticleFiles
from cryosway.particles._particles import Particles
from cryosway.particles._pickles import (
    load_array_series,
    load_arrays,
    read_cryodrgn_ctf,
    read_cryodrgn_poses,
    write_array_series,
)
from cryosway.particles._preparation import (
    GroupGeometry,
    PreparationSteps,
    PreparedImages,
    centred_transforms,
    circular_window,
    measure_background,
    plan_geometry,
    prepare_images,
)
from cryosway.particles._prepared_star import PreparedStack, write_prepared_star
from cryosway.particles._read import read_particles
from cryosway.particles._recentre import recentre_and_crop, to_images
from cryosway.particles._stack_writer import StackWriter
from cryosway.particles._star import StarBlock, read_numbers, read_star, to_text_column, write_star
from cryosway.particles._torch_archives import load_torch_archive
from cryosway.particles._whitening import make_whitening, measure_noise

__all__ = [
    "ContrastEstimate",
    "GroupGeometry",
    "MapInfo",
    "MrcLayout",
    "ParticleFiles",
    "Particles",
    "PreparationSteps",
    "PreparedImages",
    "PreparedStack",
    "StackWriter",
    "StarBlock",
    "centred_transforms",
    "circular_window",
    "detect_contrast",
    "load_array_series",
    "load_arrays",
    "load_torch_archive",
    "make_whitening",
    "measure_background",
    "measure_noise",
    "plan_geometry",
    "prepare_images",
    "read_cryodrgn_ctf",
    "read_cryodrgn_poses",
    "read_layout",
    "read_map",
    "read_numbers",
    "read_particles",
    "read_star",
    "recentre_and_crop",
    "to_images",
    "to_text_column",
    "write_array_series",
    "write_map",
    "write_prepared_star",
    "write_star",
]
