"""`backproject`: the consensus of all particles, its half-maps, resolution and noise."""

import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder, Progress, write_table
from cryosway.inference import Consensus, ImageSource, fit_consensus, split_halves
from cryosway.jobs import Job
from cryosway.methods._consensus import (
    write_consensus_curves,
    write_local_resolution,
    write_mean,
)
from cryosway.methods._job_files import VolumeIndex, particles_table
from cryosway.methods._options import BackprojectOptions
from cryosway.methods._run_method import run_method
from cryosway.methods._shared_choices import (
    ParticlesLike,
    WeightsLike,
    as_particles,
    choose_contrast,
    load_mask,
    load_weights,
)
from cryosway.particles import Particles
from cryosway.validate import fsc_resolution
from cryosway.volumes import NormalEquations

_SECONDS_PER_CHECKPOINT = 60.0
_LARGEST_SHARE_OF_TIME = 0.05  # that saving may take


def backproject(
    particles: ParticlesLike,
    out: str | Path,
    *,
    weights: WeightsLike | None = None,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Make one map of all particles, with half-maps, mask, FSC, local resolution and noise.

    One pass over the images: each is put, as the slice of a Fourier volume that its pose says,
    weighted by CTF and noise, into its half-set's volume. The half-maps are divided by their
    weights with next to no regularisation; their FSC within a soft mask, corrected for what the
    mask itself gives, regularises the map of both.

    Parameters
    ----------
    particles : Particles or path(s)
        With poses.
    out : path
        Job folder. ``volumes/mean.mrc`` is the regularised, masked map; ``unmasked.mrc``,
        ``half1.mrc``, ``half2.mrc`` are as accumulated.
    weights : array_like or path, optional
        Weight of each particle, 0 to leave it out; see `BackprojectOptions` for files.
    resume, overwrite : bool
        Whether to go on with an unfinished job, or to replace another one.
    device : str
        auto, cpu, cuda or cuda:1.
    threads : int, optional
        CPU threads; all by default.
    **options
        Fields of `BackprojectOptions`.

    Returns
    -------
    Job
        The job folder.

    Raises
    ------
    CryoswayError
        When the particles have no poses, or mask, weights or an option do not fit.

    Examples
    --------
    >>> import cryosway as cs
    >>> job = cs.backproject("particles.star", "job1")  # doctest: +SKIP
    >>> job.volume().shape  # doctest: +SKIP
    (128, 128, 128)
    """
    named = {"weights": weights} if isinstance(weights, str | Path) else {}
    checked = BackprojectOptions.check("backproject", {**options, **named})
    found = as_particles(particles)
    amounts = load_weights(weights, len(found))
    return run_method(
        "backproject", found, out, checked, partial(_fill_folder, weights=amounts),
        inputs=_fingerprint_weights(amounts),
        resume=resume, overwrite=overwrite, device=device, threads=threads,
    )  # fmt: skip


def _fingerprint_weights(weights: npt.NDArray[np.float64] | None) -> dict[str, str]:
    if weights is None:
        return {}
    import hashlib

    return {"weights": hashlib.sha256(weights.tobytes()).hexdigest()}


@dataclass(frozen=True, eq=False)
class _Chosen:
    """The particles that take part, and how.

    Attributes
    ----------
    source
        Of the particles with a weight.
    index
        Shape (N,): their rows in the input.
    half
        Shape (N,), 0 or 1.
    weights
        Shape (N,), float32, or None for all alike.
    mask
        Shape (D, D, D), or None where it is to be made.
    """

    source: ImageSource
    index: npt.NDArray[np.int64]
    half: Tensor
    weights: Tensor | None
    mask: Tensor | None

    @property
    def n_effective(self) -> float:
        """Number of particles that these are worth."""
        return float(len(self.index) if self.weights is None else self.weights.sum())


def _choose(
    job: JobFolder,
    particles: Particles,
    options: BackprojectOptions,
    device: torch.device,
    weights: npt.NDArray[np.float64] | None,
) -> _Chosen:
    """Decide which particles take part, their sign, their half-sets and how far they reach."""
    index = np.arange(len(particles)) if weights is None else np.flatnonzero(weights)
    half = split_halves(len(particles), particles.half_sets, options.seed)[torch.from_numpy(index)]
    _tell_halves(job, particles, half)
    part = particles if weights is None else particles[index]
    signs = choose_contrast(job, part, options.contrast)
    radius = part.box // 2 - 1
    source = ImageSource(
        part, radius, sign=signs, band=_choose_band(job, part, options), device=device
    )
    return _Chosen(
        source,
        index,
        half,
        None if weights is None else torch.from_numpy(weights[index].astype(np.float32)),
        load_mask(options.mask, part.box, source.pixel_size),
    )


def _tell_halves(job: JobFolder, particles: Particles, half: Tensor) -> None:
    sizes = torch.bincount(half, minlength=2).tolist()
    if min(sizes) == 0:
        message = f"half-sets of {sizes[0]} and {sizes[1]} particles: each needs at least one"
        raise CryoswayError(message)
    given = particles.half_sets is not None and {1, 2} <= set(np.unique(particles.half_sets))
    why = "as the files say" if given else "the files do not say, so they were drawn at random"
    job.decide("half-sets", f"{sizes[0]} and {sizes[1]} particles", why)


def _choose_band(job: JobFolder, particles: Particles, options: BackprojectOptions) -> int:
    """Find the largest |k| in use, Fourier pixels of the coarsest pixel."""
    radius = particles.box // 2 - 1
    length = particles.box * float(particles.ctf["pixel_size"].max())
    if options.max_resolution is None:
        return radius
    band = int(np.clip(length / options.max_resolution, 2, radius))
    job.decide("finest resolution used", f"{length / band:.2f} Å", "as the user said")
    return band


def _fill_folder(
    job: JobFolder,
    particles: Particles,
    options: BackprojectOptions,
    device: torch.device,
    weights: npt.NDArray[np.float64] | None,
) -> None:
    chosen = _choose(job, particles, options, device, weights)
    with job.stage("backprojection"):
        consensus = _trim_curves(_accumulate_and_solve(job, chosen), chosen.source)
    with job.stage("maps"):
        _write_maps(job, chosen, consensus, options)
    _write_tables(job, chosen, consensus)
    job.log(f"resolution: {consensus.resolution:.2f} Å (masked, corrected FSC at 0.143)")
    job.delete_checkpoint("accumulators")


def _accumulate_and_solve(job: JobFolder, chosen: _Chosen) -> Consensus:
    keeper = AccumulatorKeeper(job, chosen.source)
    begun = keeper.load()
    done = begun[1] if begun else 0
    with job.progress(len(chosen.source), "images", done=done) as progress:
        began = time.monotonic()
        return fit_consensus(
            chosen.source,
            chosen.half,
            mask=chosen.mask,
            weights=chosen.weights,
            watch=_make_watch(progress, job, began, done),
            begun=begun,
            keep=keeper.keep,
        )


def _trim_curves(consensus: Consensus, source: ImageSource) -> Consensus:
    """Set the FSC to 0 where there are no data: there a mask leaks what is coarser."""
    curves = {name: curve.copy() for name, curve in consensus.curves.items()}
    for curve in curves.values():
        curve[source.band + 1 :] = 0.0  # curve shell i ends at |k| = i
    finest = source.particles.box * source.pixel_size / (source.band + 1)
    resolution = fsc_resolution(curves["corrected"], source.pixel_size)
    return replace(consensus, curves=curves, resolution=max(resolution, finest))


def _make_watch(progress: Progress, job: JobFolder, began: float, before: int) -> Any:
    """Count images; say the speed when all are in."""

    def watch(count: int) -> None:
        progress.advance(count)
        if progress.done >= progress.total:
            speed = (progress.done - before) / max(time.monotonic() - began, 1e-9)
            job.update(images_per_second=round(speed, 1))
            job.log(f"{speed:.0f} images per second")

    return watch


@final
class AccumulatorKeeper:
    """Saves accumulators now and then, so that a killed pass goes on where it was.

    Parameters
    ----------
    job
        Holds the checkpoint ``accumulators``.
    source
        Whose pass it is.
    seconds
        Least time between two checkpoints; more where saving takes long.
    """

    def __init__(
        self, job: JobFolder, source: ImageSource, seconds: float = _SECONDS_PER_CHECKPOINT
    ) -> None:
        self._job, self._source = job, source
        self._seconds = seconds
        self._saved_at = time.monotonic()

    def load(self) -> tuple[NormalEquations, int] | None:
        """Give the equations of an earlier pass and how many images they hold, if any."""
        saved = self._job.load_checkpoint("accumulators")
        if saved is None:
            return None
        equations = NormalEquations(self._source.radius, 1, parts=2, device=self._source.device)
        equations.sums.copy_(saved[0]["sums"])
        done = int(saved[1]["done"])
        self._job.log(f"resumes after {done} images")
        return equations, done

    def keep(self, equations: NormalEquations, done: int) -> None:
        """Save, when it is time to."""
        began = time.monotonic()
        if began - self._saved_at < self._seconds:
            return
        self._job.save_checkpoint("accumulators", {"sums": equations.sums}, {"done": done})
        self._saved_at = time.monotonic()
        self._seconds = max(self._seconds, (self._saved_at - began) / _LARGEST_SHARE_OF_TIME)


def _write_maps(
    job: JobFolder, chosen: _Chosen, consensus: Consensus, options: BackprojectOptions
) -> None:
    pixel_size = chosen.source.pixel_size
    index = VolumeIndex(job.path, pixel_size)
    n_effective = chosen.n_effective
    write_mean(index, consensus, n_effective, prefix="")
    index.write("unmasked", consensus.unmasked, "unmasked", "consensus, as accumulated",
                n_effective=n_effective)  # fmt: skip
    index.write("mask", consensus.mask, "mask", "soft solvent mask")
    _tell_mask(job, consensus.mask, options)
    if options.local_resolution:
        write_local_resolution(index, consensus)


def _tell_mask(job: JobFolder, mask: Tensor, options: BackprojectOptions) -> None:
    share = f"{100 * float(mask.mean()):.1f} % of the box"
    why = {
        "auto": "made from the map: where it stands out from the solvent, with a soft edge",
        "none": "the user asked for no mask",
    }
    job.decide("mask", share, why.get(str(options.mask), f"as given in {options.mask}"))


def _write_tables(job: JobFolder, chosen: _Chosen, consensus: Consensus) -> None:
    source, pixel_size = chosen.source, chosen.source.pixel_size
    write_consensus_curves(job, consensus, source.particles, pixel_size)
    more = {} if chosen.weights is None else {"weight": chosen.weights.numpy()}
    half = chosen.half.numpy() + 1
    table = particles_table(source.particles, half, index=chosen.index, **more)
    write_table(job.path / "particles.parquet", table)
    job.update(
        images=len(source),
        box=source.particles.box,
        pixel_size=pixel_size,
        resolution_angstrom=consensus.resolution,
    )
