"""`linear`: a mean and K components by expectation–maximisation, and maps by latent kernels."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
import torch

from cryosway.engine import JobFolder
from cryosway.inference import (
    Consensus,
    FitState,
    Heterogeneity,
    ImageSource,
    NoiseModel,
    PoseErrors,
    SimulatedNull,
    Stage,
    estimate_noise,
    infer_all,
    judge_heterogeneity,
    plan_stages,
    relative_variances,
    run_stages,
    start_fit,
    widen_mask,
    with_mask,
)
from cryosway.jobs import Job
from cryosway.methods._consensus import find_consensus
from cryosway.methods._fit_input import FitInput
from cryosway.methods._linear.checkpoints import load_state, state_checkpoint
from cryosway.methods._linear.finish import calibrate_kernels, finish_basis
from cryosway.methods._linear.model import open_decoder as open_decoder
from cryosway.methods._linear.results import LinearResult, report_poses, write_results
from cryosway.methods._options import LinearOptions
from cryosway.methods._run_method import run_method
from cryosway.methods._shared_choices import ParticlesLike
from cryosway.optics import resize_volumes
from cryosway.particles import Particles

_SEARCHED = 10
_UNJUDGED = 6  # components where no null test tells how many, or memory is short
_ACCUMULATOR_BYTES = 1.2e9


def linear(
    particles: ParticlesLike,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Fit the landscape as a mean map and K components, each particle with its posterior.

    Every image is CTF · projection of a · (mean + Σ z_k component_k) + coloured noise with
    z ~ N(0, Λ). Mean and components are solved per Fourier voxel within the solvent mask, latents
    and contrast a in closed form (probabilistic PCA under image formation). Directions are
    compared with those of homogeneous simulations of the same particles; maps anywhere in the
    landscape are made by kernel-weighted backprojection of the particles around.

    Parameters
    ----------
    particles : Particles or path
        With poses and CTF.
    out : path
        Job folder.
    resume, overwrite : bool
        Whether to go on with an unfinished job, or to replace another one.
    device : str
        Where to compute: auto (the first GPU, else the CPU), cpu, cuda or cuda:1.
    threads : int, optional
        Threads; all CPUs by default.
    **options
        The fields of `LinearOptions`.

    Returns
    -------
    Job
        With latents, volumes at any latent, half-maps and their FSC.

    Raises
    ------
    CryoswayError
        When options, particles or mask do not fit.
    """
    return run_method(
        "linear", particles, out, LinearOptions.check("linear", options),
        lambda *given: LinearFit(*given).run(),
        resume=resume, overwrite=overwrite, device=device, threads=threads,
    )  # fmt: skip


@final
class LinearFit:
    """One run of `linear`: stages that leave a checkpoint each."""

    def __init__(
        self,
        job: JobFolder,
        particles: Particles,
        options: LinearOptions,
        device: torch.device,
    ) -> None:
        self.job, self.options, self.device = job, options, device
        self.data = FitInput.choose(job, particles, options.seed)

    def run(self) -> None:
        """Do all stages."""
        job, data = self.job, self.data
        with job.stage("consensus"):
            consensus = find_consensus(job, self._images, data.half, self.options.mask)
        radius = self._choose_radius()
        coarse, fine = plan_stages(radius, self.options.iterations)
        with job.stage("components, coarse"):
            searched = self._count_to_search()
            start = start_fit(
                consensus, coarse, searched,
                contrast=self.options.contrast,
                seed=self.options.seed,
                poses=self._start_poses(),
            )  # fmt: skip
            state = self._run_stages("coarse", start, coarse, consensus)
        with job.stage("null test"):
            judged = self._judge(state, coarse, consensus)
        state = replace(
            state, basis=state.basis.first(self._choose_components(judged, searched, radius))
        )
        if self.options.mask == "auto" and judged is not None and judged.significant:
            with job.stage("mask"):
                consensus = self._widen_mask(consensus, state, coarse[-1])
        with job.stage("noise"):
            consensus = replace(consensus, noise=self._refine_noise(state, coarse[-1], consensus))
        with job.stage("components, fine"):
            start = replace(state, stage=0, iteration=0, history=[])
            state = self._run_stages("fine", start, fine, consensus) if fine else state
        report_poses(job, data, state.poses)
        with job.stage("latents and half-sets"):
            source = self._open_source(radius, consensus.noise, state.poses)
            fitted = finish_basis(job, source, state, consensus, data.half)
        with job.stage("kernels"):
            images = self._open_source(data.radius, consensus.noise, state.poses)
            model = calibrate_kernels(job, images, fitted, consensus, data.half, self.options.seed)
        with job.stage("writing"):
            found = LinearResult(model, fitted.posterior, state.poses, consensus, judged)
            write_results(job, data, found)

    # -- stages --------------------------------------------------------------------------------

    @cached_property
    def _images(self) -> ImageSource:
        return self.data.open_source(self.device)

    def _open_source(
        self, radius: int, noise: NoiseModel, poses: PoseErrors | None = None
    ) -> ImageSource:
        source = self._images.within(radius).with_noise(noise)
        return source if poses is None else source.with_corrections(poses.turns, poses.moves)

    def _start_poses(self) -> PoseErrors | None:
        if self.options.pose_errors == "none":
            return None
        return PoseErrors.start(len(self.data), self.data.box)

    def _choose_radius(self) -> int:
        """Largest radius whose normal equations fit the memory set aside for them."""
        wanted, full = self.options.fit_box, self.data.radius
        if wanted != "auto":
            return min(full, max(6, int(wanted) // 2 - 1))
        components = 4 if self.options.components == "auto" else int(self.options.components)
        radius = full
        while radius > 8 and _count_bytes(components, radius) > _ACCUMULATOR_BYTES:
            radius -= 1
        box = 2 * (radius + 1)
        length = self.data.box * self.data.pixel_size
        self.job.decide(
            "resolution of the components",
            f"{length / radius:.1f} Å",
            f"components are fitted in a box of {box} voxels, which keeps memory bounded; maps "
            "along the landscape use all data"
            if radius < full
            else "components are fitted to the full resolution of the images",
        )
        return radius

    def _count_to_search(self) -> int:
        wanted = self.options.components
        return _SEARCHED if wanted == "auto" else int(wanted)

    def _run_stages(
        self, name: str, start: FitState, stages: list[Stage], consensus: Consensus
    ) -> FitState:
        kept = self.job.load_checkpoint(name)
        state = start if kept is None else load_state(*kept)
        total = sum(stage.iterations for stage in stages) * len(self.data)
        done = sum(s.iterations for s in stages[: state.stage]) + state.iteration
        progress = self.job.progress(total, f"components, {name}", done=done * len(self.data))
        sources: dict[int, ImageSource] = {}

        def open_source(radius: int) -> ImageSource:
            sources.clear()  # the coarser stage's cache is done with
            sources[radius] = self._open_source(radius, consensus.noise)
            return sources[radius]

        for step in run_stages(
            state, stages, open_source, consensus, self.data.half, progress.advance
        ):
            state = step
            self.job.metrics(stage=name, **state.history[-1])
            self.job.save_checkpoint(name, *state_checkpoint(state))
        return state

    def _judge(
        self, state: FitState, coarse: list[Stage], consensus: Consensus
    ) -> Heterogeneity | None:
        """Run the coarse fit on homogeneous simulations and compare."""
        count = self.options.null_tests
        if count == 0 or state.posterior is None:
            return None
        kept = self.job.load_checkpoint("null")
        found = [] if kept is None else kept[0]["variances"].tolist()
        data = self.data
        mean = resize_volumes(state.basis.volumes[:1], 2 * (data.radius + 1))[0]
        steps = sum(stage.iterations for stage in coarse)
        progress = self.job.progress(count * steps * len(data), "null test", done=0)
        sources = {s.radius: self._open_source(s.radius, consensus.noise) for s in coarse}
        poses = state.poses
        active = poses is not None and poses.active
        errors = {"turn_sd": poses.turn_sd, "move_sd": poses.move_sd} if poses and active else {}
        for number in range(len(found), count):
            seed = self.options.seed * 1000 + number + 1

            def open_null(radius: int, seed: int = seed) -> SimulatedNull:
                shown = resize_volumes(mean, 2 * (radius + 1))
                contrast = state.posterior.contrast  # type: ignore[union-attr]
                return SimulatedNull(sources[radius], shown, contrast, seed, **errors)

            null = start_fit(
                replace(consensus, mean=resize_volumes(mean, consensus.mean.shape[-1])),
                coarse,
                state.basis.components,
                contrast=self.options.contrast,
                seed=seed,
                poses=self._start_poses() if errors else None,
            )
            for step in run_stages(null, coarse, open_null, consensus, data.half, progress.advance):
                null = step
            found.append(relative_variances(null.basis).tolist())
            self.job.save_checkpoint("null", {"variances": np.array(found)})
        judged = judge_heterogeneity(relative_variances(state.basis), found)
        if judged.verdict == "undecided":
            self.job.log(
                f"null test: undecided. The first direction is far above noise, but {count} "
                "homogeneous copies are too few to tell; cryosway validate makes more (--nulls)"
            )
        return judged

    def _choose_components(self, judged: Heterogeneity | None, searched: int, radius: int) -> int:
        if self.options.components != "auto":
            return searched
        if judged is None or judged.verdict == "undecided":
            return min(searched, _UNJUDGED)
        count = min(judged.significant + 1, searched)
        reason = (
            f"{judged.significant} direction(s) stand out from noise at coarse resolution "
            "(p < 0.01 against homogeneous simulations of the same particles); one more is kept "
            "for what only finer shells show"
        )
        while count > _UNJUDGED and _count_bytes(count, radius) > 2 * _ACCUMULATOR_BYTES:
            count -= 1
            reason = "as many as fit into memory at this resolution"
        self.job.decide("number of components", count, reason)
        return count

    def _widen_mask(self, consensus: Consensus, state: FitState, last: Stage) -> Consensus:
        """Take into the mask what moves too far to be seen in the mean map."""
        kept = self.job.load_checkpoint("mask")
        if kept is None:
            source = self._open_source(last.radius, consensus.noise, state.poses)
            size = self._images.pixel_size
            mask = widen_mask(source, state, consensus, self.data.half, size)
            self.job.save_checkpoint("mask", {"mask": mask.contiguous()})
        else:
            mask = torch.as_tensor(kept[0]["mask"])
        before, now = float(consensus.mask.mean()), float(mask.mean())
        if now <= before:
            return consensus
        self.job.decide(
            "mask",
            f"{100 * now:.1f} % of the box",
            f"made of the mean map it is {100 * before:.1f} %; density that varies lies beside it",
        )
        return with_mask(consensus, mask, self._images.pixel_size)

    def _refine_noise(self, state: FitState, last: Stage, consensus: Consensus) -> NoiseModel:
        source = self._open_source(last.radius, consensus.noise, state.poses)
        posterior = infer_all(source, state.basis, state.contrast_sd, poses=state.poses)
        full = self._open_source(self.data.radius, consensus.noise, state.poses)
        return estimate_noise(full, state.basis.resized(2 * (full.radius + 1)), posterior)


def _count_bytes(components: int, radius: int) -> int:
    """Memory of the normal equations of a mean and components, both half-sets."""
    channels = 1 + components
    width = 2 * channels + channels * (channels + 1) // 2
    return 2 * 4 * width * 32 * (radius + 1) ** 3
