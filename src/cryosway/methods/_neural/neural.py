"""What `vae` and `autodecoder` do alike: start, train, infer, judge and write."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
import torch

from cryosway.engine import (
    JobFolder,
    ProcessGroup,
    open_process_group,
    select_device,
    set_threads,
    share_job,
    train,
)
from cryosway.inference import Consensus, ImageSource, LatentTable
from cryosway.jobs import Job, open_job
from cryosway.methods._consensus import find_consensus
from cryosway.methods._fit_input import FitInput
from cryosway.methods._held_out import Rows, choose_held_out
from cryosway.methods._linear.linear import linear
from cryosway.methods._neural.balance import balance_base
from cryosway.methods._neural.gains import calibrate_gains
from cryosway.methods._neural.judgement import infer_particles, judge_held_out
from cryosway.methods._neural.maps import add_maps
from cryosway.methods._neural.poses import follow_poses
from cryosway.methods._neural.results import NeuralResult, write_results
from cryosway.methods._neural.setup import NeuralOptions, build_volume, make_plan, make_step
from cryosway.methods._neural.start import (
    NeuralStart,
    make_source,
    open_linear,
    start_from_consensus,
    start_from_linear,
)
from cryosway.methods._neural.step import NeuralStep
from cryosway.methods._shared_choices import (
    ParticlesLike,
    as_particles,
    fingerprint_inputs,
    locate_particles,
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
    inputs = fingerprint_inputs(found, options)
    with open_process_group(device) as group:
        place = Place(select_device(device) if group is None else group.device, threads, group)
        folder = JobFolder.start(
            out, command, options, inputs, sources=locate_particles(found),
            resume=resume, overwrite=overwrite, keep=("linear",),
        )  # fmt: skip
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
    start = NeuralStart.unpack(tensors, meta)
    source = make_source(
        particles.with_poses(*poses), sign, start.noise, place.device,
        memory_gb=options.image_memory,
    )  # fmt: skip
    step = make_step(source, start, options)
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
        self.job, self.options, self.place = job, options, place
        self.data = FitInput.choose(job, particles, options.seed)
        self.held = choose_held_out(len(particles), options.held_out, options.seed)
        self._source: ImageSource | None = None

    def run(self) -> None:
        """Do all stages."""
        job, device, group = self.job, self.place.device, self.place.group
        with job.stage("linear"):
            linear = self._find_linear()
        data = self.data
        with job.stage("consensus"):
            images = data.open_source(device)
            consensus = find_consensus(job, images, data.half, self.options.mask)
            del images  # and its cache
        with job.stage("start"):
            start = self._find_start(consensus, linear)
        if group is not None:
            poses = (data.particles.rotations, data.particles.shifts)
            group.tell_all((*start.pack(), data.sign, poses))
        step = make_step(self._open_source(start), start, self.options)
        with job.stage("training"):
            count = len(step.chosen)
            result = train(make_plan(self.options), step, count, job, device, group=group)
        with job.stage("latents"):
            self._learn_held_out(step)
            judges = self._confirm(step, start, result.precision)
            found = infer_particles(step, result.precision, job)
            judged = judge_held_out(step, start.linear, judges, result.precision, self.options.seed)
        with job.stage("writing"):
            fitted = NeuralResult(step.module, start, consensus, found, result, judged, self.held)
            write_results(job, data, fitted)

    # -- stages --------------------------------------------------------------------------------

    def _find_linear(self) -> Job | None:
        """Give the linear job that the network starts from, if any, and take its poses."""
        if self.options.start != "linear":
            return None
        linear = self._fit_linear()
        particles = follow_poses(self.job, self.data.particles, linear)
        self.data = replace(self.data, particles=particles)
        return linear

    def _find_start(self, consensus: Consensus, linear: Job | None) -> NeuralStart:
        kept = self.job.load_checkpoint("start")
        if kept is not None:
            return NeuralStart.unpack(*kept)
        options = self.options
        if linear is not None:
            start = start_from_linear(linear, options.latent_dim, contrast=options.contrast)
            start = add_maps(self.job, linear, start, options.maps, self.held, options.seed)
            start = self._balance(start)
        else:
            start = start_from_consensus(
                consensus,
                len(self.data),
                options.latent_dim,
                contrast=options.contrast,
                with_mean=options.start == "mean",
            )
        self.job.save_checkpoint("start", *start.pack())
        self.job.delete_checkpoint("maps")
        return start

    def _balance(self, start: NeuralStart) -> NeuralStart:
        """Bring the base to the scale of the images that are trained on."""
        source = self._open_source(start)
        volume = build_volume(start, self.options).to(source.device)
        trained = np.setdiff1d(np.arange(len(source)), self.held)
        return balance_base(self.job, source, volume, start, trained)

    def _open_source(self, start: NeuralStart) -> ImageSource:
        """Open the whitened particles, once: images stay in memory where there is room."""
        if self._source is None:
            data = self.data
            self._source = make_source(
                data.particles, data.sign, start.noise, self.place.device,
                memory_gb=self.options.image_memory,
            )  # fmt: skip
        return self._source

    def _fit_linear(self) -> Job:
        options = self.options
        if options.linear is not None:
            return open_linear(options.linear, self.data.particles)
        return linear(
            self.data.particles,
            self.job.path / "linear",
            mask=options.mask,
            contrast=options.contrast,
            seed=options.seed,
            device=str(self.place.device),
            threads=self.place.threads,
            overwrite=True,
        )

    def _confirm(self, step: NeuralStep, start: NeuralStart, precision: str) -> Rows:
        """Scale what the network adds by some of the held-out particles; give those left to judge.

        Where nothing stands without the network, nothing can be scaled.
        """
        if not len(start.base):
            return self.held
        confirming, judges = self.held[::2], self.held[1::2]
        if len(confirming):
            calibrate_gains(step, confirming, precision, self.job)
        return judges

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
