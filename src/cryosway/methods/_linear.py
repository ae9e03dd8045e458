"""`linear`: a mean and K components by expectation–maximisation, and maps by latent kernels."""

import itertools
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from cryosway.engine import JobFolder, select_device, set_threads, write_table
from cryosway.inference import (
    BANDWIDTHS,
    Consensus,
    FitState,
    GaussianPosterior,
    Heterogeneity,
    ImageSource,
    MixtureFit,
    NoiseModel,
    PoseErrors,
    ShellMixture,
    SimulatedNull,
    Stage,
    accumulate_step,
    estimate_noise,
    fit_consensus,
    infer_all,
    judge_heterogeneity,
    make_setting,
    normalise_basis,
    plan_stages,
    regularise_by_halves,
    relative_variances,
    run_stages,
    solve_step,
    split_halves,
    start_fit,
)
from cryosway.jobs import Job, open_job
from cryosway.methods._job_files import (
    VolumeIndex,
    fsc_entries,
    noise_entries,
    particles_table,
    write_curves,
)
from cryosway.methods._linear_checkpoints import (
    consensus_checkpoint,
    load_consensus,
    load_state,
    state_checkpoint,
)
from cryosway.methods._linear_model import (
    PARTICLES_NAME,
    KernelDecoder,
    LinearModel,
    save_posterior,
)
from cryosway.methods._linear_model import open_decoder as open_decoder
from cryosway.methods._options import LinearOptions
from cryosway.methods._shared_choices import (
    ParticlesLike,
    as_particles,
    choose_contrast,
    fingerprint_file,
    load_mask,
    warn_of_window,
)
from cryosway.optics import resize_volumes
from cryosway.particles import Particles
from cryosway.validate import low_pass

_SEARCHED = 6
_ACCUMULATOR_BYTES = 1.2e9
_TARGETS = 6


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
    settings = LinearOptions.check("linear", options)
    found = as_particles(particles)
    set_threads(threads)
    inputs: dict[str, Any] = {"particles": found.fingerprint()}
    if settings.mask not in ("auto", "none"):
        inputs["mask"] = fingerprint_file(settings.mask)
    with JobFolder.start(
        out, "linear", settings, inputs, resume=resume, overwrite=overwrite
    ) as job:
        if not job.already_finished:
            _Fit(job, found, settings, select_device(device)).run()
    return open_job(out)


@dataclass(frozen=True, eq=False)
class _Result:
    """The finished fit, before it is written."""

    particles: Particles
    model: LinearModel
    posterior: GaussianPosterior
    source: ImageSource
    consensus: Consensus


class _Fit:
    """One run of `linear`: stages that leave a checkpoint each."""

    def __init__(
        self,
        job: JobFolder,
        particles: Particles,
        options: LinearOptions,
        device: torch.device,
    ) -> None:
        self.job, self.particles, self.options, self.device = job, particles, options, device
        self.sign = choose_contrast(job, particles)
        warn_of_window(particles)
        self.half = split_halves(len(particles), particles.half_sets, options.seed)
        self.full = particles.box // 2 - 1

    def run(self) -> None:
        job = self.job
        with job.stage("consensus"):
            consensus = self._find_consensus()
        radius = self._choose_radius()
        coarse, fine = plan_stages(radius, self.options.iterations)
        with job.stage("components, coarse"):
            searched = self._count_to_search()
            start = start_fit(
                consensus,
                coarse,
                searched,
                contrast=self.options.contrast,
                seed=self.options.seed,
                poses=self._start_poses(),
            )
            state = self._run_stages("coarse", start, coarse, consensus)
        with job.stage("null test"):
            judged = self._judge(state, coarse, consensus)
        state = replace(state, basis=state.basis.first(self._choose_components(judged, searched)))
        with job.stage("noise"):
            consensus = replace(consensus, noise=self._refine_noise(state, coarse[-1], consensus))
        with job.stage("components, fine"):
            start = replace(state, stage=0, iteration=0, history=[])
            state = self._run_stages("fine", start, fine, consensus) if fine else state
        self._report_poses(state.poses)
        with job.stage("latents and half-sets"):
            source, posterior, volumes, halves = self._finish_basis(state, radius, consensus)
        with job.stage("kernels"):
            model = self._calibrate(source, posterior, volumes, halves, consensus, state.poses)
        with job.stage("writing"):
            particles = self._correct_particles(state.poses)
            self._write(_Result(particles, model, posterior, source, consensus), judged)

    # -- stages --------------------------------------------------------------------------------

    @cached_property
    def _images(self) -> ImageSource:
        sign = self.sign.astype(np.float64)
        return ImageSource(self.particles, self.full, sign=sign, device=self.device)

    def _open_source(
        self, radius: int, noise: NoiseModel, poses: PoseErrors | None = None
    ) -> ImageSource:
        source = self._images.within(radius).with_noise(noise)
        return source if poses is None else source.with_corrections(poses.turns, poses.moves)

    def _start_poses(self) -> PoseErrors | None:
        if self.options.pose_errors == "none":
            return None
        return PoseErrors.start(len(self.particles), self.particles.box)

    def _find_consensus(self) -> Consensus:
        kept = self.job.load_checkpoint("consensus")
        if kept is not None:
            return load_consensus(*kept)
        source = self._images
        pixel_size = source.pixel_size
        given = load_mask(self.options.mask, self.particles.box, pixel_size)
        consensus = fit_consensus(source, self.half, mask=given)
        tensors, meta = consensus_checkpoint(consensus)
        self.job.save_checkpoint("consensus", tensors, meta)
        return consensus

    def _choose_radius(self) -> int:
        """Largest radius whose normal equations fit the memory set aside for them."""
        wanted = self.options.fit_box
        if wanted != "auto":
            return min(self.full, max(6, int(wanted) // 2 - 1))
        channels = 1 + (4 if self.options.components == "auto" else int(self.options.components))
        width = 2 * channels + channels * (channels + 1) // 2
        radius = self.full
        while radius > 8 and 2 * 4 * width * 32 * (radius + 1) ** 3 > _ACCUMULATOR_BYTES:
            radius -= 1
        box = 2 * (radius + 1)
        full_angstrom = self.particles.box * _coarsest_pixel(self.particles)
        self.job.decide(
            "resolution of the components",
            f"{full_angstrom / radius:.1f} Å",
            f"components are fitted in a box of {box} voxels, which keeps memory bounded; maps "
            "along the landscape use all data"
            if radius < self.full
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
        total = sum(stage.iterations for stage in stages) * len(self.particles)
        done = sum(s.iterations for s in stages[: state.stage]) + state.iteration
        progress = self.job.progress(total, f"components, {name}", done=done * len(self.particles))
        sources: dict[int, ImageSource] = {}

        def open_source(radius: int) -> ImageSource:
            sources.clear()  # the coarser stage's cache is done with
            sources[radius] = self._open_source(radius, consensus.noise)
            return sources[radius]

        for step in run_stages(state, stages, open_source, consensus, self.half, progress.advance):
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
        mean = resize_volumes(state.basis.volumes[:1], 2 * (self.full + 1))[0]
        steps = sum(stage.iterations for stage in coarse)
        progress = self.job.progress(count * steps * len(self.particles), "null test", done=0)
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
            for step in run_stages(null, coarse, open_null, consensus, self.half, progress.advance):
                null = step
            found.append(relative_variances(null.basis).tolist())
            self.job.save_checkpoint("null", {"variances": np.array(found)})
        return judge_heterogeneity(relative_variances(state.basis), found)

    def _choose_components(self, judged: Heterogeneity | None, searched: int) -> int:
        wanted = self.options.components
        if wanted != "auto" or judged is None:
            return searched
        count = min(judged.significant + 1, searched)
        self.job.decide(
            "number of components",
            count,
            f"{judged.significant} direction(s) stand out from noise at coarse resolution "
            "(p < 0.01 against homogeneous simulations of the same particles); one more is kept "
            "for what only finer shells show",
        )
        return count

    def _refine_noise(self, state: FitState, last: Stage, consensus: Consensus) -> NoiseModel:
        source = self._open_source(last.radius, consensus.noise, state.poses)
        posterior = infer_all(source, state.basis, state.contrast_sd, poses=state.poses)
        full = self._open_source(self.full, consensus.noise, state.poses)
        return estimate_noise(full, state.basis.resized(2 * (full.radius + 1)), posterior)

    def _report_poses(self, poses: PoseErrors | None) -> None:
        """Say what has been found of the errors of the poses."""
        if poses is None:
            return
        length = self.particles.box * _coarsest_pixel(self.particles)
        turn, move = np.degrees(poses.turn_sd), poses.move_sd * length
        self.job.decide(
            "errors of the poses",
            f"{turn:.2g}°, {move:.2g} Å" if poses.active else "none",
            "per axis (one standard deviation), measured from the images; they are kept out of the "
            "components, and poses are corrected by what each image says of its own"
            if poses.active
            else "the images show none that would move anything by a twentieth of a pixel",
        )

    def _correct_particles(self, poses: PoseErrors | None) -> Particles:
        particles = self.particles
        if poses is None or not poses.active:
            return particles
        pixel_size = particles.ctf["pixel_size"].to_numpy(np.float64)[:, None]
        turned = Rotation.from_rotvec(poses.turns).as_matrix()
        moved = poses.moves * particles.box * pixel_size
        return particles.with_poses(particles.rotations @ turned, particles.shifts - moved)

    def _finish_basis(
        self, state: FitState, radius: int, consensus: Consensus
    ) -> tuple[ImageSource, GaussianPosterior, Tensor, Tensor]:
        """Make a last pass: the posterior, and the basis of all particles and of each half."""
        source = self._open_source(radius, consensus.noise, state.poses)
        basis = state.basis.resized(2 * (radius + 1))
        setting = make_setting(
            consensus, self.half, radius, basis.components, state.contrast_sd, state.poses
        )
        progress = self.job.progress(2 * len(self.particles), "latents")
        step = accumulate_step(source, basis, setting, progress.advance)
        setting = regularise_by_halves(step, basis, setting)
        volumes = solve_step(step, basis, setting)
        halves = torch.stack([solve_step(step, basis, setting, part) for part in (0, 1)])
        fitted, moved, turn = normalise_basis(volumes, step.posterior)
        halves = _follow(halves, step.posterior, turn)
        del step, moved
        posterior = infer_all(source, fitted, state.contrast_sd, progress.advance, state.poses)
        box = self.particles.box
        return (
            source,
            posterior,
            resize_volumes(fitted.volumes, box),
            torch.stack([resize_volumes(half, box) for half in halves]),
        )

    def _calibrate(
        self,
        source: ImageSource,
        posterior: GaussianPosterior,
        volumes: Tensor,
        halves: Tensor,
        consensus: Consensus,
        poses: PoseErrors | None,
    ) -> LinearModel:
        """Choose, per shell and region, how kernels of several widths are combined."""
        variances = np.mean(posterior.mean**2, axis=0) + np.einsum(
            "nkk->k", posterior.covariance
        ) / len(posterior.mean)
        shells = self.particles.box // 2
        regions = _split_regions(volumes, variances, consensus, source.pixel_size)
        empty = ShellMixture(torch.zeros(len(regions), len(BANDWIDTHS) + 1, shells), regions)
        model = LinearModel(
            volumes=volumes,
            half_volumes=halves,
            variances=variances,
            mask=consensus.mask,
            noise=consensus.noise.power,
            bandwidths=np.asarray(BANDWIDTHS),
            mixture=empty,
        )
        full = (
            source
            if source.radius == self.full
            else self._open_source(self.full, consensus.noise, poses)
        )
        decoder = KernelDecoder(model, full, posterior, self.half)
        fit = MixtureFit(regions, len(BANDWIDTHS) + 1, shells)
        targets = _spread_targets(posterior.mean, _TARGETS, self.options.seed)
        progress = self.job.progress(len(targets), "kernels")
        for z in targets:
            (first, second), _ = decoder.candidates(z, (0, 1))
            fit.add(first, second)
            progress.advance(1)
        return replace(model, mixture=fit.solve())

    # -- results -------------------------------------------------------------------------------

    def _write(self, result: _Result, judged: Heterogeneity | None) -> None:
        job, model, posterior = self.job, result.model, result.posterior
        pixel_size = _coarsest_pixel(self.particles)
        result.particles.write(job.path / PARTICLES_NAME, absolute_paths=True)
        save_posterior(job.path, posterior, self.half)
        model.save(job.path, pixel_size)
        table = particles_table(
            result.particles,
            self.half.numpy() + 1,
            latents=posterior.mean,
            latent_sd=np.sqrt(np.einsum("nkk->nk", posterior.covariance)),
            contrast=posterior.contrast,
            log_likelihood=posterior.log_likelihood,
            sign=self.sign,
        )
        write_table(job.path / "particles.parquet", table)
        self._write_maps(result, pixel_size)
        spectrum = None if judged is None else judged.describe()["directions"]
        write_curves(
            job,
            fsc=fsc_entries(result.consensus.curves, pixel_size, "mean.mrc"),
            noise=noise_entries(result.consensus.noise, result.source),
            **({} if judged is None else {"spectrum": _spectrum_curve(judged)}),
        )
        facts: dict[str, Any] = {
            "box": self.particles.box,
            "pixel_size": pixel_size,
            "radius": self.full,
            "components": len(model.variances),
            "resolution_angstrom": result.consensus.resolution,
        }
        if spectrum is not None and judged is not None:
            facts["heterogeneity"] = judged.describe()
        job.update(**facts)

    def _write_maps(self, result: _Result, pixel_size: float) -> None:
        index = VolumeIndex(self.job.path, pixel_size)
        consensus = result.consensus
        halves = index.write_half_maps("mean_", consensus.half_maps, "consensus")
        index.write(
            "mean",
            consensus.mean,
            "mean",
            "consensus",
            resolution=consensus.resolution,
            n_effective=float(len(self.particles)),
            half_maps=halves,
        )
        index.write("mask", consensus.mask, "mask", "solvent mask")
        for k, component in enumerate(result.model.volumes[1:], start=1):
            scaled = component * float(np.sqrt(result.model.variances[k - 1]))
            index.write(
                f"component_{k}", scaled, "component", f"component {k}, one standard deviation"
            )


def _coarsest_pixel(particles: Particles) -> float:
    return float(particles.ctf["pixel_size"].max())


def _spectrum_curve(judged: Heterogeneity) -> dict[str, list[float]]:
    return {
        "variance_explained": judged.variance_explained.tolist(),
        "noise_alone": judged.noise_alone.tolist(),
        "p_value": judged.p_value.tolist(),
    }


def _split_regions(
    volumes: Tensor, variances: npt.NDArray[np.float64], consensus: Consensus, pixel_size: float
) -> Tensor:
    """Soft masks of what moves and what does not, adding up to the solvent mask."""
    weights = torch.from_numpy(variances).float()[:, None, None, None]
    moving = (volumes[1:].square() * weights).sum(0).numpy()
    smooth = low_pass(moving, pixel_size, max(12.0, 4 * pixel_size))
    mask = consensus.mask
    inside = smooth[mask.numpy() > 0.5]
    high = float(np.percentile(inside, 90)) if inside.size else 1.0
    share = torch.from_numpy(np.clip(smooth / max(high, 1e-30), 0, 1).astype(np.float32))
    return torch.stack([mask * share, mask * (1 - share)])


def _spread_targets(
    latents: npt.NDArray[np.float64], count: int, seed: int
) -> npt.NDArray[np.float64]:
    """Latents of `count` particles drawn evenly along the first component."""
    order = np.argsort(latents[:, 0])
    edges = np.linspace(0, len(order), count + 1).astype(int)
    rng = np.random.default_rng(seed)
    chosen = [order[rng.integers(a, max(b, a + 1))] for a, b in itertools.pairwise(edges)]
    return np.asarray(latents[chosen])


def _follow(halves: Tensor, posterior: GaussianPosterior, turn: npt.NDArray[np.float64]) -> Tensor:
    """Bring the halves' volumes to the coordinates of `normalise_basis`."""
    centre = torch.from_numpy(posterior.mean.mean(0)).float()
    scale = float(posterior.contrast.mean())
    means = halves[:, 0] + torch.einsum("k,hkxyz->hxyz", centre, halves[:, 1:])
    components = torch.einsum("kj,hkxyz->hjxyz", torch.from_numpy(turn).float(), halves[:, 1:])
    return torch.cat([means[:, None] * scale, components], dim=1)
