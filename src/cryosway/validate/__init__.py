"""What is real: FSC, masks, local resolution, alignment of maps; how close to a truth."""

from cryosway.validate._align_volumes import (
    VolumeAlignment,
    align_frame,
    align_volumes,
    resize_volume,
)
from cryosway.validate._compare_latents import (
    LatentAgreement,
    compare_latents,
    share_neighbours,
)
from cryosway.validate._difference_regions import DifferenceRegion, find_difference_regions
from cryosway.validate._fsc import (
    auc_fsc,
    corrected_fsc,
    fsc,
    fsc_of_transforms,
    fsc_resolution,
    randomise_phases,
)
from cryosway.validate._latent_agreement import (
    Alignment,
    align_latents,
    canonical_correlations,
    correlate_columns,
)
from cryosway.validate._latent_metrics import (
    InformationImbalance,
    NeighbourhoodSimilarity,
    information_imbalance,
    neighbourhood_similarity,
)
from cryosway.validate._leakage import Leakage, find_neighbours, measure_leakage
from cryosway.validate._local_resolution import local_resolution
from cryosway.validate._loss_curve import CurveEnd, measure_curve_end
from cryosway.validate._mask import (
    add_varying_parts,
    low_pass,
    make_solvent_mask,
    mask_state,
    soften_mask,
    sphere_mask,
)
from cryosway.validate._truth_metrics import (
    MASK_RULE,
    MapScorer,
    compare_scores,
    earth_mover_distance,
    judge_latents,
    make_union_mask,
    score_clusters,
    score_indices,
    standardise,
    summarise_scores,
    total_variation,
)

__all__ = [
    "MASK_RULE",
    "Alignment",
    "CurveEnd",
    "DifferenceRegion",
    "InformationImbalance",
    "LatentAgreement",
    "Leakage",
    "MapScorer",
    "NeighbourhoodSimilarity",
    "VolumeAlignment",
    "add_varying_parts",
    "align_frame",
    "align_latents",
    "align_volumes",
    "auc_fsc",
    "canonical_correlations",
    "compare_latents",
    "compare_scores",
    "corrected_fsc",
    "correlate_columns",
    "earth_mover_distance",
    "find_difference_regions",
    "find_neighbours",
    "fsc",
    "fsc_of_transforms",
    "fsc_resolution",
    "information_imbalance",
    "judge_latents",
    "local_resolution",
    "low_pass",
    "make_solvent_mask",
    "make_union_mask",
    "mask_state",
    "measure_curve_end",
    "measure_leakage",
    "neighbourhood_similarity",
    "randomise_phases",
    "resize_volume",
    "score_clusters",
    "score_indices",
    "share_neighbours",
    "soften_mask",
    "sphere_mask",
    "standardise",
    "summarise_scores",
    "total_variation",
]
