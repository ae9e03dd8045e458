"""`structural`: an atomic model that deforms, and the latent of every particle."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from cryosway.engine import JobFolder, TrainingPlan, train
from cryosway.inference import (
    Consensus,
    Encoder,
    EncoderSpec,
    EncoderView,
    ImageSource,
    LatentTable,
    NoiseModel,
    PoseTable,
)
from cryosway.jobs import Job
from cryosway.methods._consensus import find_consensus
from cryosway.methods._fit_input import FitInput
from cryosway.methods._held_out import choose_held_out
from cryosway.methods._neural.poses import follow_poses
from cryosway.methods._neural.start import make_source, open_linear, start_from_linear
from cryosway.methods._options import StructuralOptions
from cryosway.methods._protein.confidence import BeadRestraints, read_restraints
from cryosway.methods._run_method import run_method
from cryosway.methods._shared_choices import ParticlesLike
from cryosway.methods._structural.held_out import HeldOut
from cryosway.methods._structural.latents import COARSE, CONTRAST_SD
from cryosway.methods._structural.model import make_deformation
from cryosway.methods._structural.model import open_decoder as open_decoder
from cryosway.methods._structural.occupancy import COMPOSITION
from cryosway.methods._structural.place import place_model, write_agreement
from cryosway.methods._structural.presence import (
    Presence,
    find_start,
    pack_start,
    spread_start,
    unpack_start,
)
from cryosway.methods._structural.residues import check_halves
from cryosway.methods._structural.results import write_results
from cryosway.methods._structural.start import (
    FEWEST_MODES,
    Motion,
    count_passes,
    find_motion,
)
from cryosway.methods._structural.step import (
    StructuralModules,
    StructuralPriors,
    StructuralSettings,
    StructuralStep,
)
from cryosway.methods._structural.views import BeadViews
from cryosway.optics import make_disc, shell_power
from cryosway.particles import Particles
from cryosway.protein import CoarseModel
from cryosway.volumes import DeformationSpec, nearest_seeds

_ENCODER_BOX = 64
_WARMUP_STEPS = 20
_TENTH = 10.0  # Å of position that part beads into segments as 1 Å of motion does


def structural(
    particles: ParticlesLike,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Deform an atomic model so that it explains every particle.

    Every image is CTF · projection of a · density(x(z)) + coloured noise, x being the residues of
    the model, moved by a decoder of the particle's latent z. The model lies in the consensus map
    at the outset; bonds, clashes and an elastic network hold its geometry (Li et al., Nature
    Methods 2024). The loss is the evidence lower bound of the whitened images, in nats.

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
        The fields of `StructuralOptions`; ``model`` must be given.

    Returns
    -------
    Job
        With latents, and the model and its density at any latent.

    Raises
    ------
    CryoswayError
        When options, particles, model or the linear job do not fit.

    Examples
    --------
    >>> import cryosway as cs
    >>> job = cs.structural("particles.star", "job5", model="model.cif")  # doctest: +SKIP
    >>> job.model(job.latents[0]).make_mmcif_document().write_file("first.cif")  # doctest: +SKIP
    """
    return run_method(
        "structural", particles, out, StructuralOptions.check("structural", options),
        fit_structural,
        resume=resume, overwrite=overwrite, device=device, threads=threads,
    )  # fmt: skip


def fit_structural(
    job: JobFolder, particles: Particles, options: StructuralOptions, device: torch.device
) -> None:
    """Do the work of `structural` in a job's folder."""
    StructuralFit(job, particles, options, device).run()


@final
class StructuralFit:
    """One run of `structural`: stages that leave a checkpoint each."""

    def __init__(
        self,
        job: JobFolder,
        particles: Particles,
        options: StructuralOptions,
        device: torch.device,
    ) -> None:
        self.job, self.options, self.device = job, options, device
        self.data = FitInput.choose(job, particles, options.seed)
        self.restraints = read_restraints(options.model, options.confidence)
        self.held = choose_held_out(len(particles), options.held_out, options.seed)
        self.trained = np.setdiff1d(np.arange(len(particles)), self.held)

    def run(self) -> None:
        """Do all stages."""
        job, options = self.job, self.options
        linear = None
        if options.linear is not None:
            linear = open_linear(options.linear, self.data.particles)
            particles = follow_poses(job, self.data.particles, linear)
            self.data = replace(self.data, particles=particles)
        data = self.data
        with job.stage("consensus"):
            images = data.open_source(self.device)
            consensus = find_consensus(job, images, data.half, options.mask)
            del images  # and its cache
        with job.stage("docking"):
            coarse = place_model(job, options, data, consensus, self.restraints)
        views = BeadViews(coarse, data.box, data.pixel_size, data.box // 2 + 1)
        with job.stage("start"):
            motion, presence = self._find_start(consensus, coarse, views, linear)
        epochs = options.epochs
        if not bool((motion.scale > 0).any()):
            job.log("the images show nothing of the model above their noise: it stays in place")
            epochs = 1  # nothing would be learnt in more
        step = self._make_step(coarse, views, motion, presence, consensus)
        with job.stage("training"):
            plan = TrainingPlan(
                epochs=epochs,
                batch_size=options.batch_size,
                learning_rate=options.learning_rate,
                warmup_steps=_WARMUP_STEPS,
                clip_norm=1.0,
                seed=options.seed,
                precision="float32",
            )
            held_out = HeldOut(job, step, self.held, epochs, options.seed)
            count = len(step.chosen)
            result = train(plan, step, count, job, self.device, on_epoch=held_out.look)
        with job.stage("writing"):
            write_results(job, data, step, coarse, consensus, result, held_out.describe(), options)
            if options.check_docking:
                write_agreement(job, coarse, consensus, data.pixel_size)
        if options.halves:
            with job.stage("half-set models"):
                check_halves(job, options, self.device, fit_structural)

    # -- stages --------------------------------------------------------------------------------

    @property
    def _first_band(self) -> int:
        """Fourier pixels of the shells in which motion is looked for first."""
        return round(self.data.box * self.data.pixel_size / COARSE)

    def _find_start(
        self, consensus: Consensus, coarse: CoarseModel, views: BeadViews, linear: Job | None
    ) -> tuple[Motion, Presence | None]:
        kept = self.job.load_checkpoint("start")
        if kept is not None:
            return unpack_start(*kept)
        data = self.data
        source = ImageSource(
            data.particles[self.trained], data.radius, sign=data.sign[self.trained],
            noise=self._noise_of_trained(consensus), band=self._first_band,
        )  # fmt: skip
        find = partial(self._find_motion, source, coarse, views, linear)
        motion, presence, sentence = find_start(
            source, views, coarse, self.options, find, self._contrast_sd
        )
        if sentence:
            self.job.decide(COMPOSITION, {}, sentence)
        motion, presence = spread_start(motion, presence, self.trained, len(data))
        self.job.save_checkpoint("start", *pack_start(motion, presence))
        return motion, presence

    def _noise_of_trained(self, consensus: Consensus) -> NoiseModel:
        """Noise of the optics groups that the particles trained on are of."""
        group = self.data.particles.ctf["optics_group"].factorize(sort=True)[0]
        return NoiseModel(consensus.noise.power[np.unique(group[self.trained])])

    def _find_motion(
        self,
        source: ImageSource,
        coarse: CoarseModel,
        views: BeadViews,
        linear: Job | None,
        presence: Presence | None,
    ) -> Motion:
        options, known = self.options, None
        modes, rounds = options.modes, options.rounds
        if linear is not None:
            start = start_from_linear(linear, options.latent_dim, contrast=options.contrast)
            known = start.latents[torch.from_numpy(self.trained)]
            if options.decoder != "modes":
                modes, rounds = FEWEST_MODES, 1  # networks bend from there; straight paths tear
        passes = count_passes(coarse, modes, rounds)
        progress = self.job.progress(passes * len(source), "motion along normal modes")
        return find_motion(
            source, coarse, views,
            latent_dim=options.latent_dim, modes=modes, rounds=rounds,
            as_whole=not options.refine_poses,
            present=None if presence is None else presence.of,
            known=known, watch=progress.advance,
        )  # fmt: skip

    @property
    def _contrast_sd(self) -> float:
        return CONTRAST_SD if self.options.contrast else 0.0

    def _make_step(
        self,
        coarse: CoarseModel,
        views: BeadViews,
        motion: Motion,
        presence: Presence | None,
        consensus: Consensus,
    ) -> StructuralStep:
        options = self.options
        spec = DeformationSpec(
            kind=options.decoder,
            latent_dim=options.latent_dim,
            segments=options.segments,
            fields=options.fields,
            width=options.width,
        )
        held = None if self.restraints is None else BeadRestraints.of(coarse, self.restraints)
        places = [torch.from_numpy(coarse.coordinates.astype(np.float32)) / _TENTH]
        places += [*motion.base[:2]]
        places += [] if held is None else [torch.from_numpy(held.segment_places())]
        deformation = make_deformation(
            spec, coarse,
            mean=motion.mean, base=motion.base,
            parting=nearest_seeds(torch.cat(places, dim=1), spec.segments),
            generator=torch.Generator().manual_seed(options.seed),
        )  # fmt: skip
        views.scale.copy_(motion.scale)
        weigh = None if held is None else held.weigh
        ideal = options.bond_lengths == "ideal"
        priors = StructuralPriors(coarse, options.elastic_keep, weigh, ideal=ideal)
        data = self.data
        latent, view = self._make_latent(motion.latents, consensus.mean)
        poses = PoseTable(len(data), data.box) if options.refine_poses else None
        composition = None if presence is None else presence.compose(views)
        modules = StructuralModules(deformation, latent, views, priors, poses, composition)
        settings = StructuralSettings(
            contrast_sd=self._contrast_sd,
            first_band=self._first_band,
            elastic_weight=min(1.0, (1 + options.latent_dim) / len(data)),
            pose_sd=options.pose_sd,
            held_epochs=int(options.linear is not None and options.epochs > 1),
        )
        source = make_source(data.particles, data.sign, consensus.noise.power, self.device)
        modules = modules.to(self.device)
        return StructuralStep(modules, source, settings, view, motion.latents, self.trained)

    def _make_latent(
        self, start: Tensor, mean: Tensor
    ) -> tuple[LatentTable | Encoder, EncoderView | None]:
        options, box = self.options, self.data.box
        if options.latent == "table":
            return LatentTable(start), None
        spec = EncoderSpec(box=min(_ENCODER_BOX, box), latent_dim=options.latent_dim)
        signal = shell_power(mean[None], box // 2)[0]
        view = EncoderView(spec, make_disc(box, self.data.radius), signal)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            return Encoder(spec, view), view
