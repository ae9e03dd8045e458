"""Fitting a mean and components from coarse to fine: the schedule around the EM steps."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from cryosway.inference._consensus import Consensus
from cryosway.inference._expectation_maximisation import (
    BatchSource,
    Setting,
    accumulate_step,
    normalise_basis,
    solve_step,
    start_basis,
    subspace_overlap,
    update_contrast_sd,
)
from cryosway.inference._pose_errors import PoseErrors, PosePosterior
from cryosway.inference._posterior import GaussianPosterior
from cryosway.optics import resize_volumes
from cryosway.volumes import BasisGrid

_FIRST_CONTRAST_SD = 0.2
_SETTLED = 2e-4


@dataclass(frozen=True)
class Stage:
    """Up to `iterations` EM steps with data up to `radius` Fourier pixels.

    `flexible` keeps components from showing turns and moves of the whole, see `run_stages`;
    `final` takes errors of poses that cannot be told from none as none.
    """

    radius: int
    iterations: int
    flexible: bool = False
    final: bool = False


def plan_stages(radius: int, iterations: int) -> tuple[list[Stage], list[Stage]]:
    """Coarse stages, where components are found and counted, and fine ones, where they sharpen.

    A step costs radius² in data and radius³ in unknowns: most steps are made where they are cheap.

    Parameters
    ----------
    radius
        The finest, Fourier pixels.
    iterations
        Most steps of the first stage; the next two take half as many, the last a third.
    """
    radii = sorted({max(min(6, radius), round(radius * part)) for part in (0.26, 0.4, 0.65, 1.0)})
    shares = (1.0, 0.5, 0.5, 0.34)
    stages = [
        Stage(
            r,
            max(2, round(iterations * share)),
            flexible=number == 0,
            final=number == len(radii) - 1,
        )
        for number, (r, share) in enumerate(zip(radii, shares, strict=False))
    ]
    return stages[:2], stages[2:]


@dataclass(frozen=True, eq=False)
class FitState:
    """Where a fit stands: everything that the next step needs.

    Attributes
    ----------
    basis
        The current mean and components.
    contrast_sd
        Prior spread of the contrast.
    stage, iteration
        Steps done: the stage, and how many steps within it.
    posterior
        Of the last step; none before the first.
    history
        One row per step: radius, variances over the mean's power, overlap with the step before.
    poses
        Errors of the poses and what of them has been corrected; none where they are exact.
    """

    basis: BasisGrid
    contrast_sd: float
    stage: int = 0
    iteration: int = 0
    posterior: GaussianPosterior | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    poses: PoseErrors | None = None


def relative_variances(basis: BasisGrid) -> np.ndarray:
    """Variance along each component over the power of the mean map, shape (K,)."""
    norms = basis.volumes[1:].flatten(1).square().sum(1).double().numpy()
    return np.asarray(basis.variances * norms / float(basis.volumes[0].square().sum()))


def make_setting(
    consensus: Consensus,
    half: Tensor,
    radius: int,
    components: int,
    contrast_sd: float,
    poses: PoseErrors | None = None,
    *,
    flexible: bool = False,
) -> Setting:
    """Mask and prior for a fit up to a radius: every component may hold as much as the mean."""
    box = 2 * (radius + 1)
    full = consensus.mask.shape[-1]
    mask = (resize_volumes(consensus.mask, box) * (box / full) ** 3).clamp(0, 1)
    power = consensus.signal_power[: box // 2].clamp(min=1e-30)
    return Setting(half, mask, (1 / power).expand(1 + components, -1), contrast_sd, poses, flexible)


def start_fit(
    consensus: Consensus,
    stages: list[Stage],
    components: int,
    *,
    contrast: bool,
    seed: int,
    poses: PoseErrors | None = None,
) -> FitState:
    """State before the first step: the consensus and random components."""
    setting = make_setting(consensus, torch.zeros(0), stages[0].radius, components, 0.0)
    mean = resize_volumes(consensus.mean, 2 * (stages[0].radius + 1))
    basis = start_basis(mean, setting.mask, components, seed)
    return FitState(basis, _FIRST_CONTRAST_SD if contrast else 0.0, poses=poses)


def run_stages(
    state: FitState,
    stages: list[Stage],
    open_source: Callable[[int], BatchSource],
    consensus: Consensus,
    half: Tensor,
    watch: Callable[[int], None] | None = None,
) -> Iterator[FitState]:
    """Yield the state after every EM step, going on from where `state` stands.

    A stage ends early when components and variances have settled. At its end, what has been found
    of the errors of the poses is taken into them. In a flexible stage components are kept from
    turns and moves of the whole, so that errors of the poses are not taken for components; later
    ones may turn with what else they do.
    """
    for number in range(state.stage, len(stages)):
        stage = stages[number]
        source = open_source(stage.radius)
        if state.poses is not None:
            source = source.with_corrections(state.poses.turns, state.poses.moves)
        box = 2 * (source.radius + 1)
        state = replace(state, stage=number, basis=state.basis.resized(box))
        while state.iteration < stage.iterations:
            state, found = _take_step(state, stage, source, consensus, half, watch)
            last = state.iteration >= stage.iterations or _has_settled(state)
            if last:
                poses = state.poses
                if poses is not None and found is not None:
                    poses = poses.corrected(found)
                state = replace(state, stage=number + 1, iteration=0, poses=poses)
            yield state
            if last:
                break


def _take_step(
    state: FitState,
    stage: Stage,
    source: BatchSource,
    consensus: Consensus,
    half: Tensor,
    watch: Callable[[int], None] | None,
) -> tuple[FitState, PosePosterior | None]:
    basis, poses = state.basis, state.poses
    setting = make_setting(
        consensus,
        half,
        source.radius,
        basis.components,
        state.contrast_sd,
        poses,
        flexible=stage.flexible,
    )
    step = accumulate_step(source, basis, setting, watch)
    volumes = solve_step(step, basis, setting)
    fitted, posterior, _ = normalise_basis(volumes, step.posterior)
    row = {
        "radius": float(source.radius),
        "evidence": float(posterior.log_likelihood.mean()),
        "overlap": subspace_overlap(basis, fitted),
        "contrast_sd": state.contrast_sd,
        **_describe_errors(poses),
        **{f"variance_{k + 1}": v for k, v in enumerate(relative_variances(fitted))},
    }
    found = step.inferred.poses
    if poses is not None and found is not None:
        poses = poses.updated(found, consensus.mean.shape[-1], doubtful=not stage.final)
    state = replace(
        state,
        basis=fitted,
        contrast_sd=update_contrast_sd(step.posterior, state.contrast_sd),
        iteration=state.iteration + 1,
        posterior=posterior,
        history=[*state.history, row],
        poses=poses,
    )
    return state, found


def _describe_errors(poses: PoseErrors | None) -> dict[str, float]:
    if poses is None:
        return {}
    return {"turn_sd_degrees": math.degrees(poses.turn_sd), "move_sd_boxes": poses.move_sd}


def _has_settled(state: FitState) -> bool:
    if state.iteration < 2:
        return False
    before, now = state.history[-2], state.history[-1]
    names = [name for name in now if name.startswith("variance_")]
    change = sum(abs(now[n] - before[n]) for n in names) / max(sum(now[n] for n in names), 1e-30)
    return change < _SETTLED and 1 - now["overlap"] < _SETTLED
