"""Image formation: grids, transforms, central slices, CTF, poses and noise.

Functions from tensors to tensors: no files, no configuration, no log.
"""

from cryosway.optics._ctf import CtfParams, compute_ctf, electron_wavelength
from cryosway.optics._disc import Disc, make_disc
from cryosway.optics._rotations import (
    cryosparc_pose_to_matrix,
    matrix_to_cryosparc_pose,
    matrix_to_relion_euler,
    random_rotations,
    relion_euler_to_matrix,
    rotation_angle,
)
from cryosway.optics._shells import (
    filter_volumes,
    frequency_radius,
    resize_volumes,
    shell_power,
)
from cryosway.optics._slices import (
    OVERSAMPLING,
    extract_slices,
    grid_to_volume,
    gridding_correction,
    insert_slices,
    symmetrize_grid,
    volume_to_grid,
)
from cryosway.optics._transforms import (
    crop_fourier,
    fft2_half,
    fft3_half,
    half_plane_frequencies,
    ifft2_half,
    ifft3_half,
    shift_images,
)

__all__ = [
    "OVERSAMPLING",
    "CtfParams",
    "Disc",
    "compute_ctf",
    "crop_fourier",
    "cryosparc_pose_to_matrix",
    "electron_wavelength",
    "extract_slices",
    "fft2_half",
    "fft3_half",
    "filter_volumes",
    "frequency_radius",
    "grid_to_volume",
    "gridding_correction",
    "half_plane_frequencies",
    "ifft2_half",
    "ifft3_half",
    "insert_slices",
    "make_disc",
    "matrix_to_cryosparc_pose",
    "matrix_to_relion_euler",
    "random_rotations",
    "relion_euler_to_matrix",
    "resize_volumes",
    "rotation_angle",
    "shell_power",
    "shift_images",
    "symmetrize_grid",
    "volume_to_grid",
]
