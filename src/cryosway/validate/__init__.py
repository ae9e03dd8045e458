"""What in a map is real: FSC, masks, local resolution."""

from cryosway.validate._fsc import (
    auc_fsc,
    corrected_fsc,
    fsc,
    fsc_of_transforms,
    fsc_resolution,
    randomise_phases,
)
from cryosway.validate._local_resolution import local_resolution
from cryosway.validate._mask import low_pass, make_solvent_mask, soften_mask, sphere_mask

__all__ = [
    "auc_fsc",
    "corrected_fsc",
    "fsc",
    "fsc_of_transforms",
    "fsc_resolution",
    "local_resolution",
    "low_pass",
    "make_solvent_mask",
    "randomise_phases",
    "soften_mask",
    "sphere_mask",
]
