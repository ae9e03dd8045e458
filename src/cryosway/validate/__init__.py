"""What is real: FSC, masks, local resolution of maps; what latents know of a truth."""

from cryosway.validate._fsc import (
    auc_fsc,
    corrected_fsc,
    fsc,
    fsc_of_transforms,
    fsc_resolution,
    randomise_phases,
)
from cryosway.validate._latent_metrics import (
    InformationImbalance,
    NeighbourhoodSimilarity,
    information_imbalance,
    neighbourhood_similarity,
)
from cryosway.validate._local_resolution import local_resolution
from cryosway.validate._mask import (
    add_varying_parts,
    low_pass,
    make_solvent_mask,
    mask_state,
    soften_mask,
    sphere_mask,
)

__all__ = [
    "InformationImbalance",
    "NeighbourhoodSimilarity",
    "add_varying_parts",
    "auc_fsc",
    "corrected_fsc",
    "fsc",
    "fsc_of_transforms",
    "fsc_resolution",
    "information_imbalance",
    "local_resolution",
    "low_pass",
    "make_solvent_mask",
    "mask_state",
    "neighbourhood_similarity",
    "randomise_phases",
    "soften_mask",
    "sphere_mask",
]
