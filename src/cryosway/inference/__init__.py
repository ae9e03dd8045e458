"""From particles to latents and maps: streaming, posteriors, EM and latent kernels."""

from cryosway.inference._composition import (
    VariableParts,
    find_variable_parts,
    learn_shares,
    list_compositions,
    mix_compositions,
    weigh_compositions,
)
from cryosway.inference._consensus import (
    Consensus,
    accumulate_consensus,
    fit_consensus,
    signal_power_in_mask,
    solve_consensus,
    split_halves,
    weigh_shells,
    with_mask,
)
from cryosway.inference._deformed_backprojection import (
    FourierWeights,
    MovedMap,
    MovedParticles,
    accumulate_weighted,
    solve_moved,
    solve_unmoved,
)
from cryosway.inference._encoder import Encoder, EncoderSpec, EncoderView
from cryosway.inference._expectation_maximisation import (
    Setting,
    Step,
    accumulate_step,
    infer_all,
    normalise_basis,
    regularise_by_halves,
    solve_step,
    start_basis,
    subspace_overlap,
    update_contrast_sd,
)
from cryosway.inference._fit_basis import (
    FitState,
    Stage,
    make_setting,
    plan_stages,
    relative_variances,
    run_stages,
    start_fit,
)
from cryosway.inference._heterogeneity import Heterogeneity, judge_heterogeneity
from cryosway.inference._image_source import (
    Batch,
    ImageSource,
    NoiseModel,
    ShellSums,
    total_power,
)
from cryosway.inference._latent_kernel import (
    BANDWIDTHS,
    LatentKernel,
    MixtureFit,
    ShellMixture,
    solve_kernels,
)
from cryosway.inference._objective import (
    Misfit,
    draw_latent,
    gaussian_divergence,
    measure_misfit,
)
from cryosway.inference._particle_tables import LatentTable, PoseTable, rotate_by
from cryosway.inference._pose_errors import PoseErrors, PosePosterior
from cryosway.inference._posterior import GaussianPosterior, gram_matrices, infer_posterior
from cryosway.inference._residual_noise import estimate_noise
from cryosway.inference._simulated_null import SimulatedNull
from cryosway.inference._varying_mask import widen_mask

__all__ = [
    "BANDWIDTHS",
    "Batch",
    "Consensus",
    "Encoder",
    "EncoderSpec",
    "EncoderView",
    "FitState",
    "FourierWeights",
    "GaussianPosterior",
    "Heterogeneity",
    "ImageSource",
    "LatentKernel",
    "LatentTable",
    "Misfit",
    "MixtureFit",
    "MovedMap",
    "MovedParticles",
    "NoiseModel",
    "PoseErrors",
    "PosePosterior",
    "PoseTable",
    "Setting",
    "ShellMixture",
    "ShellSums",
    "SimulatedNull",
    "Stage",
    "Step",
    "VariableParts",
    "accumulate_consensus",
    "accumulate_step",
    "accumulate_weighted",
    "draw_latent",
    "estimate_noise",
    "find_variable_parts",
    "fit_consensus",
    "gaussian_divergence",
    "gram_matrices",
    "infer_all",
    "infer_posterior",
    "judge_heterogeneity",
    "learn_shares",
    "list_compositions",
    "make_setting",
    "measure_misfit",
    "mix_compositions",
    "normalise_basis",
    "plan_stages",
    "regularise_by_halves",
    "relative_variances",
    "rotate_by",
    "run_stages",
    "signal_power_in_mask",
    "solve_consensus",
    "solve_kernels",
    "solve_moved",
    "solve_step",
    "solve_unmoved",
    "split_halves",
    "start_basis",
    "start_fit",
    "subspace_overlap",
    "total_power",
    "update_contrast_sd",
    "weigh_compositions",
    "weigh_shells",
    "widen_mask",
    "with_mask",
]
