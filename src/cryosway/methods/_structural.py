"""`structural`: an atomic model that deforms, and the latent of every particle."""

from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.engine import (
    JobFolder,
    TrainingPlan,
    TrainingResult,
    select_device,
    set_threads,
    train,
    write_table,
)
from cryosway.inference import (
    Consensus,
    ImageSource,
    LatentTable,
    NoiseModel,
    split_halves,
)
from cryosway.jobs import Job, open_job
from cryosway.methods._dock_check import check_docking
from cryosway.methods._dock_map import DockingMap
from cryosway.methods._job_files import (
    VolumeIndex,
    fsc_entries,
    noise_entries,
    particles_table,
    write_curves,
)
from cryosway.methods._linear_checkpoints import consensus_checkpoint, load_consensus
from cryosway.methods._neural_poses import follow_poses
from cryosway.methods._neural_start import (
    find_consensus,
    make_source,
    open_linear,
    start_from_linear,
)
from cryosway.methods._options import StructuralOptions
from cryosway.methods._shared_choices import (
    ParticlesLike,
    as_particles,
    choose_contrast,
    fingerprint_file,
    fingerprint_neural,
    load_mask,
    warn_of_window,
)
from cryosway.methods._structural_model import StructuralModel, make_deformation
from cryosway.methods._structural_model import open_decoder as open_decoder
from cryosway.methods._structural_start import Motion, find_motion, fit_scale
from cryosway.methods._structural_step import (
    StructuralModules,
    StructuralPriors,
    StructuralSettings,
    StructuralStep,
)
from cryosway.methods._structural_views import BeadViews
from cryosway.particles import Particles
from cryosway.protein import CoarseModel, coarse_grain, read_structure, write_structure
from cryosway.volumes._deformation import DeformationSpec, nearest_seeds

_COARSE = 10.5  # Å: shells in which large motions are looked for first
_CONTRAST_SD = 0.1
_WARMUP_STEPS = 20
_PATH = np.linspace(-2.0, 2.0, 9)  # standard deviations along a direction
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
    found = as_particles(particles)
    chosen = StructuralOptions.check("structural", options)
    set_threads(threads)
    inputs = fingerprint_neural(found, chosen) | {"model": fingerprint_file(chosen.model)}
    with JobFolder.start(
        out, "structural", chosen, inputs, resume=resume, overwrite=overwrite
    ) as job:
        if not job.already_finished:
            StructuralFit(job, found, chosen, select_device(device)).run()
    return open_job(out)


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
        self.job, self.particles, self.options, self.device = job, particles, options, device
        self.sign = choose_contrast(job, particles)
        warn_of_window(particles)
        self.half = split_halves(len(particles), particles.half_sets, options.seed)
        self.pixel_size = float(particles.ctf["pixel_size"].max())

    def run(self) -> None:
        """Do all stages."""
        job, options = self.job, self.options
        linear = None
        if options.linear is not None:
            linear = open_linear(options.linear, self.particles)
            self.particles = follow_poses(job, self.particles, linear)
        with job.stage("consensus"):
            consensus = self._find_consensus()
        with job.stage("docking"):
            coarse = self._place_model(consensus)
        box = self.particles.box
        views = BeadViews(coarse, box, self.pixel_size, box // 2 + 1)
        with job.stage("start"):
            motion = self._find_motion(consensus, coarse, views, linear)
        step = self._make_step(coarse, views, motion, consensus.noise)
        with job.stage("training"):
            plan = TrainingPlan(
                epochs=options.epochs,
                batch_size=options.batch_size,
                learning_rate=options.learning_rate,
                warmup_steps=_WARMUP_STEPS,
                clip_norm=1.0,
                seed=options.seed,
                precision="float32",
            )
            result = train(plan, step, step.count, job, self.device)
        with job.stage("writing"):
            self._write(step, coarse, consensus, result)

    # -- stages --------------------------------------------------------------------------------

    def _find_consensus(self) -> Consensus:
        kept = self.job.load_checkpoint("consensus")
        if kept is not None:
            return load_consensus(*kept)
        mask = load_mask(self.options.mask, self.particles.box, self.pixel_size)
        consensus = find_consensus(self.particles, self.sign, self.half, mask, self.device)
        self.job.save_checkpoint("consensus", *consensus_checkpoint(consensus))
        return consensus

    def _place_model(self, consensus: Consensus) -> CoarseModel:
        """Read the model, and refuse it where it does not lie in the consensus."""
        atoms = read_structure(self.options.model).without_hydrogens()
        if self.options.check_docking:
            box = consensus.unmasked.shape[-1]
            # A model that is given without its map has the centre of the box at 0.
            origin = np.full(3, -(box // 2) * self.pixel_size)
            target = DockingMap(consensus.mean.numpy(), self.pixel_size, origin)
            found = check_docking(atoms, target)
            found.require()
            self.job.decide("place of the model", found.frame, found.sentence)
            atoms = found.place_in_box(atoms)
        coarse = coarse_grain(atoms)
        for line in coarse.describe():
            self.job.log(line)
        return coarse

    def _find_motion(
        self, consensus: Consensus, coarse: CoarseModel, views: BeadViews, linear: Job | None
    ) -> Motion:
        kept = self.job.load_checkpoint("start")
        if kept is not None:
            return Motion(**{name: torch.as_tensor(value) for name, value in kept[0].items()})
        particles, k = self.particles, self.options.latent_dim
        reach = round(particles.box * self.pixel_size / _COARSE)
        full = particles.box // 2 - 1
        coarse_source = ImageSource(
            particles, full, sign=self.sign, noise=consensus.noise, band=reach
        )
        if linear is None:
            progress = self.job.progress(
                self.options.rounds * len(particles), "motion along normal modes"
            )
            motion = find_motion(
                coarse_source, coarse, views,
                latent_dim=k, modes=self.options.modes, rounds=self.options.rounds,
                watch=progress.advance,
            )  # fmt: skip
        else:
            reference = torch.from_numpy(coarse.coordinates.astype(np.float32))
            still = reference.new_zeros(k, *reference.shape)
            latents = start_from_linear(linear, k, contrast=self.options.contrast).latents
            scale = fit_scale(
                coarse_source, views, lambda rows: reference.expand(len(rows), -1, -1)
            )
            motion = Motion(still[0], still, latents, scale)
        self.job.save_checkpoint("start", dict(vars(motion)), {})
        return motion

    def _make_step(
        self, coarse: CoarseModel, views: BeadViews, motion: Motion, noise: NoiseModel
    ) -> StructuralStep:
        options = self.options
        spec = DeformationSpec(
            kind=options.decoder,
            latent_dim=options.latent_dim,
            segments=options.segments,
            fields=options.fields,
            width=options.width,
        )
        where = torch.from_numpy(coarse.coordinates.astype(np.float32)) / _TENTH
        deformation = make_deformation(
            spec, coarse,
            mean=motion.mean, base=motion.base,
            parting=nearest_seeds(torch.cat([where, *motion.base[:2]], dim=1), spec.segments),
            generator=torch.Generator().manual_seed(options.seed),
        )  # fmt: skip
        views.scale.copy_(motion.scale)
        priors = StructuralPriors(coarse, options.elastic_keep)
        modules = StructuralModules(deformation, LatentTable(motion.latents), views, priors)
        box = self.particles.box
        settings = StructuralSettings(
            contrast_sd=_CONTRAST_SD if options.contrast else 0.0,
            beta=options.beta,
            latent_scale=options.latent_rate,
            first_band=round(box * self.pixel_size / _COARSE),
            elastic_weight=min(1.0, options.conformations / len(self.particles)),
            bond_weight=options.bond_weight,
        )
        source = make_source(self.particles, self.sign, noise.power, self.device)
        return StructuralStep(modules.to(self.device), source, settings)

    # -- results -------------------------------------------------------------------------------

    def _write(
        self,
        step: StructuralStep,
        coarse: CoarseModel,
        consensus: Consensus,
        result: TrainingResult,
    ) -> None:
        job, particles = self.job, self.particles
        contrast, likelihood = _judge_particles(step)
        modules = step.module.cpu().eval()
        mean, log_variance = modules.latent.values.detach().double().chunk(2, dim=1)
        model = StructuralModel(coarse, modules.deformation, modules.views)
        model.save(job.path)
        particles.write(job.path / "particles.star", absolute_paths=True)
        latents = mean.numpy()
        table = particles_table(
            particles,
            self.half.numpy() + 1,
            latents=latents,
            latent_sd=(0.5 * log_variance).exp().numpy(),
            contrast=contrast,
            log_likelihood=likelihood,
            sign=self.sign,
            displacement=_measure_displacement(model, latents),
        )
        write_table(job.path / "particles.parquet", table)
        self._write_maps(consensus, model, latents)
        _write_paths(job.path, model, latents)
        job.update(
            box=particles.box,
            pixel_size=self.pixel_size,
            radius=particles.box // 2 - 1,
            components=self.options.latent_dim,
            resolution_angstrom=consensus.resolution,
            training={
                "steps": result.steps,
                "precision": result.precision,
                "particles_per_s": result.items_per_s,
                **result.losses,
            },
        )

    def _write_maps(
        self, consensus: Consensus, model: StructuralModel, latents: npt.NDArray[np.float64]
    ) -> None:
        index = VolumeIndex(self.job.path, self.pixel_size)
        halves = index.write_half_maps("mean_", consensus.half_maps, "consensus")
        index.write(
            "mean", consensus.mean, "mean", "consensus",
            resolution=consensus.resolution,
            n_effective=float(len(self.particles)),
            half_maps=halves,
        )  # fmt: skip
        index.write("mask", consensus.mask, "mask", "solvent mask")
        centre = latents.mean(0)
        index.write(
            "model_mean", model.densities(centre[None])[0], "state",
            "atomic model, at the mean latent", z=centre.tolist(),
        )  # fmt: skip
        source = ImageSource(self.particles, self.particles.box // 2 - 1, noise=consensus.noise)
        write_curves(
            self.job,
            fsc=fsc_entries(consensus.curves, self.pixel_size, "mean.mrc"),
            noise=noise_entries(consensus.noise, source),
        )


@torch.no_grad()
def _judge_particles(
    step: StructuralStep,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Contrast and log likelihood of every particle at its latent, each (N,)."""
    modules, found = step.module.eval(), []
    for start in range(0, step.count, 128):
        rows = np.arange(start, min(start + 128, step.count))
        batch = step.load(rows)
        beads = modules.deformation(modules.latent(batch.rows)[0])
        misfit = step.compare(batch.slices, modules.views.bare(batch.slices, beads))
        found.append(torch.stack([misfit.contrast, -misfit.squared]))
    contrast, likelihood = torch.cat(found, dim=1).double().cpu().numpy()
    return contrast, likelihood


def _measure_displacement(
    model: StructuralModel, latents: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Rms displacement of every particle's beads from the reference, (N,), Å."""
    reference: Tensor = model.deformation.reference
    parts = [
        (model.beads(part) - reference).square().sum(-1).mean(-1).sqrt().double().numpy()
        for part in np.array_split(latents, max(1, len(latents) // 256))
    ]
    return np.asarray(np.concatenate(parts))


def _write_paths(folder: Path, model: StructuralModel, latents: npt.NDArray[np.float64]) -> None:
    """Write the model along the principal directions of the latents, a file each."""
    if len(latents) < 2:
        msg = "a structural job needs two particles at least"
        raise CryoswayError(msg)
    centre = latents.mean(0)
    _, sizes, directions = np.linalg.svd(latents - centre, full_matrices=False)
    spread = sizes / np.sqrt(len(latents))
    out = folder / "models"
    out.mkdir(exist_ok=True)
    for number in range(min(2, len(spread))):
        steps = [centre + amount * spread[number] * directions[number] for amount in _PATH]
        path = out / f"direction{number + 1}.cif"
        write_structure(path, [model.atoms(z) for z in steps])
