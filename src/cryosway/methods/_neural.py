"""What `vae` and `autodecoder` do alike: start, train, infer, judge and write."""

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt
import torch

from cryosway.engine import (
    JobFolder,
    ProcessGroup,
    TrainingResult,
    open_process_group,
    select_device,
    set_threads,
    share_job,
    train,
    write_table,
)
from cryosway.inference import (
    Consensus,
    Encoder,
    LatentTable,
    NoiseModel,
    PoseTable,
    split_halves,
)
from cryosway.jobs import Job, open_job
from cryosway.methods._job_files import (
    VolumeIndex,
    fsc_entries,
    noise_entries,
    particles_table,
    write_curves,
)
from cryosway.methods._linear import linear
from cryosway.methods._linear_checkpoints import consensus_checkpoint, load_consensus
from cryosway.methods._neural_judgement import (
    Inferred,
    Judgement,
    infer_particles,
    judge_held_out,
)
from cryosway.methods._neural_model import PARTICLES_NAME, NeuralModel
from cryosway.methods._neural_poses import follow_poses
from cryosway.methods._neural_setup import NeuralOptions, choose_held_out, make_plan, make_step
from cryosway.methods._neural_start import (
    NeuralStart,
    find_consensus,
    make_source,
    open_linear,
    start_from_consensus,
    start_from_linear,
)
from cryosway.methods._neural_step import NeuralModules, NeuralStep
from cryosway.methods._shared_choices import (
    ParticlesLike,
    as_particles,
    choose_contrast,
    fingerprint_neural,
    load_mask,
    warn_of_window,
)
from cryosway.particles import Particles


@dataclass(frozen=True)
class Place:
    """Where a fit runs.

    Attributes
    ----------
    device
        Of this process.
    threads
        Of the CPU; all by default.
    group
        The processes that share each batch, if there are several.
    """

    device: torch.device
    threads: int | None = None
    group: ProcessGroup | None = None


def fit_neural(
    command: str,
    particles: ParticlesLike,
    out: str | Path,
    options: NeuralOptions,
    *,
    resume: bool,
    overwrite: bool,
    device: str,
    threads: int | None,
) -> Job:
    """Run a neural method in this process, or this process's share of it; see `vae`."""
    found = as_particles(particles)
    set_threads(threads)
    inputs = fingerprint_neural(found, options)
    with open_process_group(device) as group:
        place = Place(select_device(device) if group is None else group.device, threads, group)
        folder = JobFolder.start(
            out, command, options, inputs, resume=resume, overwrite=overwrite, keep=("linear",)
        )
        with share_job(group, folder) as job:
            if job is None:
                _follow(found, options, place)
            elif not job.already_finished:
                NeuralFit(job, found, options, place).run()
            elif group is not None:
                group.tell_all(None)
    return open_job(out)


def _follow(particles: Particles, options: NeuralOptions, place: Place) -> None:
    """Train along with the first process, which does the rest."""
    assert place.group is not None
    told = place.group.tell_all(None)
    if told is None:
        return
    tensors, meta, sign, poses = told
    particles = particles.with_poses(*poses)
    step = make_step(particles, sign, NeuralStart.unpack(tensors, meta), options, place.device)
    train(make_plan(options), step, len(step.chosen), None, place.device, group=place.group)


@final
class NeuralFit:
    """One run of a neural method: stages that leave a checkpoint each.

    Parameters
    ----------
    job
        Its folder.
    particles
        With poses.
    options
        Of the method.
    place
        Where it runs.
    """

    def __init__(
        self, job: JobFolder, particles: Particles, options: NeuralOptions, place: Place
    ) -> None:
        self.job, self.particles, self.options, self.place = job, particles, options, place
        self.sign = choose_contrast(job, particles)
        warn_of_window(particles)
        self.half = split_halves(len(particles), particles.half_sets, options.seed)
        self.held = choose_held_out(len(particles), options)
        self.pixel_size = float(particles.ctf["pixel_size"].max())

    def run(self) -> None:
        """Do all stages."""
        job, device, group = self.job, self.place.device, self.place.group
        with job.stage("linear"):
            linear = self._find_linear()
        with job.stage("consensus"):
            consensus = self._find_consensus()
        with job.stage("start"):
            start = self._find_start(consensus, linear)
        if group is not None:
            poses = (self.particles.rotations, self.particles.shifts)
            group.tell_all((*start.pack(), self.sign, poses))
        step = make_step(self.particles, self.sign, start, self.options, device)
        with job.stage("training"):
            count = len(step.chosen)
            result = train(make_plan(self.options), step, count, job, device, group=group)
        with job.stage("latents"):
            self._learn_held_out(step)
            found = infer_particles(step, result.precision, job)
            judged = judge_held_out(
                step, start.base, self.held, result.precision, self.options.seed
            )
        with job.stage("writing"):
            self._write(step.module, start, consensus, found, result, judged)

    # -- stages --------------------------------------------------------------------------------

    def _find_linear(self) -> Job | None:
        """Give the linear job that the network starts from, if any, and take its poses."""
        if self.options.start != "linear":
            return None
        linear = self._fit_linear()
        self.particles = follow_poses(self.job, self.particles, linear)
        return linear

    def _find_consensus(self) -> Consensus:
        kept = self.job.load_checkpoint("consensus")
        if kept is not None:
            return load_consensus(*kept)
        mask = load_mask(self.options.mask, self.particles.box, self.pixel_size)
        consensus = find_consensus(self.particles, self.sign, self.half, mask, self.place.device)
        self.job.save_checkpoint("consensus", *consensus_checkpoint(consensus))
        return consensus

    def _find_start(self, consensus: Consensus, linear: Job | None) -> NeuralStart:
        kept = self.job.load_checkpoint("start")
        if kept is not None:
            return NeuralStart.unpack(*kept)
        options = self.options
        if linear is not None:
            start = start_from_linear(linear, options.latent_dim, contrast=options.contrast)
        else:
            start = start_from_consensus(
                consensus,
                len(self.particles),
                options.latent_dim,
                contrast=options.contrast,
                with_mean=options.start == "mean",
            )
        self.job.save_checkpoint("start", *start.pack())
        return start

    def _fit_linear(self) -> Job:
        options = self.options
        if options.linear is not None:
            return open_linear(options.linear, self.particles)
        return linear(
            self.particles,
            self.job.path / "linear",
            mask=options.mask,
            contrast=options.contrast,
            seed=options.seed,
            device=str(self.place.device),
            threads=self.place.threads,
            overwrite=True,
        )

    def _learn_held_out(self, step: NeuralStep) -> None:
        """Learn latents of held-out particles in a table, the network being fixed."""
        if not len(self.held) or not isinstance(step.module.latent, LatentTable):
            return
        step.module.volume.requires_grad_(requires_grad=False)
        held = step.of(self.held)
        train(
            make_plan(self.options), held, len(self.held), self.job, self.place.device,
            name="held-out latents",
        )  # fmt: skip

    # -- results -------------------------------------------------------------------------------

    def _write(
        self,
        modules: NeuralModules,
        start: NeuralStart,
        consensus: Consensus,
        found: Inferred,
        result: TrainingResult,
        judged: Judgement | None,
    ) -> None:
        job = self.job
        modules.cpu()
        particles = self._refined_particles(modules.poses)
        particles.write(job.path / PARTICLES_NAME, absolute_paths=True)
        encoder = modules.latent if isinstance(modules.latent, Encoder) else None
        model = NeuralModel(
            modules.volume, encoder, start.mask, start.signal, start.noise,
            start.contrast_sd, self.pixel_size,
        )  # fmt: skip
        model.save(job.path)
        held = np.zeros(len(particles), bool)
        held[self.held] = True
        table = particles_table(
            particles,
            self.half.numpy() + 1,
            latents=found.mean,
            latent_sd=found.sd,
            contrast=found.contrast,
            log_likelihood=found.bound,
            sign=self.sign,
            held_out=held,
        )
        write_table(job.path / "particles.parquet", table)
        self._write_maps(consensus, start, model, found.mean)
        facts = {
            "box": self.particles.box,
            "pixel_size": self.pixel_size,
            "radius": self.particles.box // 2 - 1,
            "components": self.options.latent_dim,
            "resolution_angstrom": consensus.resolution,
            "training": {
                "steps": result.steps,
                "precision": result.precision,
                "particles_per_s": result.items_per_s,
                **result.losses,
            },
        }
        job.update(**facts, **({} if judged is None else {"held_out": judged.describe()}))

    def _refined_particles(self, poses: PoseTable | None) -> Particles:
        if poses is None:
            return self.particles
        pixel_size = self.particles.ctf["pixel_size"].to_numpy(np.float64)[:, None]
        rotations, shifts = poses.corrected(
            self.particles.rotations, self.particles.shifts / pixel_size
        )
        return self.particles.with_poses(rotations, shifts * pixel_size)

    def _write_maps(
        self,
        consensus: Consensus,
        start: NeuralStart,
        model: NeuralModel,
        latents: npt.NDArray[np.float64],
    ) -> None:
        index = VolumeIndex(self.job.path, self.pixel_size)
        halves = index.write_half_maps("mean_", consensus.half_maps, "consensus")
        index.write(
            "mean", consensus.mean, "mean", "consensus",
            resolution=consensus.resolution,
            n_effective=float(len(self.particles)),
            half_maps=halves,
        )  # fmt: skip
        index.write("mask", start.mask, "mask", "solvent mask")
        centre = latents.mean(0)
        index.write(
            "network_mean",
            model.densities(centre[None])[0],
            "state",
            "network, at the mean latent",
            z=centre.tolist(),
        )
        source = make_source(self.particles, self.sign, start.noise)
        write_curves(
            self.job,
            fsc=fsc_entries(consensus.curves, self.pixel_size, "mean.mrc"),
            noise=noise_entries(NoiseModel(start.noise), source),
        )
