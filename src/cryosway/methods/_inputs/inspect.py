"""`inspect`: what is in these files; are poses, CTF and sign right? A quick map."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.engine import JobFolder, read_json, write_json, write_table
from cryosway.inference import ImageSource, fit_consensus, split_halves
from cryosway.jobs import Job
from cryosway.methods._consensus import write_consensus_curves
from cryosway.methods._inputs.image_checks import judge_trials, try_hypotheses
from cryosway.methods._inputs.metadata_checks import Check, check_metadata, make_check, summarise
from cryosway.methods._inputs.pose_hypotheses import CTF_HYPOTHESES, POSE_HYPOTHESES, HypothesisTest
from cryosway.methods._job_files import VolumeIndex, particles_table
from cryosway.methods._options import InspectOptions
from cryosway.methods._run_method import run_method
from cryosway.methods._shared_choices import ParticlesLike, choose_contrast
from cryosway.particles import Particles, detect_contrast
from cryosway.report import report

_FEWEST = 4  # images from which a map is tried
_TESTED = 1_000  # images that tell conventions apart


def inspect(
    particles: ParticlesLike,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Look at particles before any work: counts, optics, views, sign, and a quick map.

    Images are correlated with views of a map made from *other* images, under the metadata as
    given and under the usual mistakes (inverse rotations, shifts of the opposite sign or in the
    wrong unit, images that are phase-flipped already), so that a mistake is named.

    Parameters
    ----------
    particles : Particles or path(s)
        What to look at.
    out : path
        Job folder: ``inspect.json`` with the summary and the checks, ``report.html`` with
        pictures, the quick map in ``volumes/``.
    resume, overwrite : bool
        Whether to go on with an unfinished job, or to replace another one.
    device : str
        auto, cpu, cuda or cuda:1.
    threads : int, optional
        CPU threads; all by default.
    **options
        Fields of `InspectOptions`.

    Returns
    -------
    Job
        The job folder.

    Raises
    ------
    CryoswayError
        When an option is wrong or the folder cannot be written.

    Examples
    --------
    >>> import cryosway as cs
    >>> job = cs.inspect("particles.star", "job0")  # doctest: +SKIP
    """
    job = examine(
        particles,
        out,
        resume=resume,
        overwrite=overwrite,
        device=device,
        threads=threads,
        **options,
    )
    if not (job.path / "report.html").exists():
        report(job)
    return job


def examine(
    particles: ParticlesLike,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Do what `inspect` does, without its report."""
    return run_method(
        "inspect", particles, out, InspectOptions.check("inspect", options), _fill_folder,
        resume=resume, overwrite=overwrite, device=device, threads=threads,
    )  # fmt: skip


def read_checks(job: Job) -> list[Check]:
    """Read the checks of an `inspect` job."""
    return list(read_json(job.path / "inspect.json")["checks"])


def _fill_folder(
    job: JobFolder, particles: Particles, options: InspectOptions, device: torch.device
) -> None:
    with job.stage("metadata"):
        summary = summarise(particles)
        _log_summary(job, summary)
        checks = check_metadata(particles)
        write_table(job.path / "particles.parquet", particles_table(particles))
        job.update(images=len(particles))
    sample, why_not = _choose_sample(particles, options)
    if sample is None:
        checks.append(make_check("images", None, "unknown", why_not))
    else:
        found, trials = _look_at_images(job, sample, options, device)
        checks += found
        summary |= trials
    write_json(job.path / "inspect.json", {**summary, "checks": checks})
    for check in checks:
        mark = "" if check["verdict"] == "good" else f"{check['verdict'].upper()}: "
        job.log(f"{check['name']}: {mark}{check['sentence']}")


def _log_summary(job: JobFolder, summary: dict[str, Any]) -> None:
    groups = summary["optics_groups"]
    boxes = ", ".join(
        sorted({f"{group['box']} px of {group['pixel_size']:.4g} Å" for group in groups})
    )
    kind = "with poses" if summary["poses"] else "without poses"
    number = f"{len(groups)} optics group{'s' if len(groups) > 1 else ''}"
    job.log(f"{summary['particles']:,} particles {kind}, {number}, {boxes}")


@dataclass(frozen=True, eq=False)
class _Sample:
    """Images that can make a map.

    Attributes
    ----------
    particles
        Of one box, with poses.
    radius
        Of the quick map, Fourier pixels.
    half
        Shape (N,), 0 or 1.
    """

    particles: Particles
    radius: int
    half: Tensor


def _choose_sample(particles: Particles, options: InspectOptions) -> tuple[_Sample | None, str]:
    """Choose images of the most common box, evenly; or say why there is no map."""
    if not particles.has_poses:
        return None, "There are no poses, so neither a map nor poses and CTF could be tried."
    boxes = particles.ctf["optics_group"].map(particles.boxes).to_numpy()
    sizes, counts = np.unique(boxes, return_counts=True)
    box = int(sizes[np.argmax(counts)])
    if box % 2:
        return None, (
            f"The images have an odd box of {box} px, for which no map is made: run cryosway "
            "prepare with an even --box."
        )
    rows = np.flatnonzero(boxes == box)
    if len(rows) < _FEWEST:
        return None, f"{len(rows)} particles are too few for a map."
    chosen = _spread_evenly(rows, options.images)
    half = split_halves(len(particles), particles.half_sets, options.seed)
    radius = min(options.box, box) // 2 - 1
    part = particles[chosen]
    return _Sample(part, radius, half[torch.from_numpy(chosen)]), ""


def _spread_evenly(rows: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    return rows[np.unique(np.linspace(0, len(rows) - 1, most).astype(np.int64))]


def _look_at_images(
    job: JobFolder, sample: _Sample, options: InspectOptions, device: torch.device
) -> tuple[list[Check], dict[str, Any]]:
    """Contrast, quick map, and the fit under all hypotheses."""
    signs = choose_contrast(job, sample.particles)
    checks = [_check_contrast(sample.particles)]
    with job.stage("quick map"):
        _make_quick_map(job, sample, signs, device)
    with job.stage("conventions"):
        rows = _spread_evenly(np.arange(len(sample.particles)), _TESTED)
        part = sample.particles[rows]
        test = HypothesisTest(
            part, sample.radius, signs[rows], sample.half[torch.from_numpy(rows)], options.seed
        )
        has_ctf = part.has_ctf and bool(part.ctf[["defocus_u", "defocus_v"]].to_numpy().any())
        tried = 2 + len(POSE_HYPOTHESES) + has_ctf * len(CTF_HYPOTHESES)
        with job.progress(tried, "hypotheses") as progress:
            trials = try_hypotheses(test, progress.advance, ctf=has_ctf)
    return checks + judge_trials(trials), {"hypotheses": trials.to_rows()}


def _check_contrast(particles: Particles) -> Check:
    found = detect_contrast(particles)
    value = {1: "white", -1: "dark", 0: "not to be told"}[found.sign]
    sentence = found.describe()
    sentence = sentence[0].upper() + sentence[1:] + "."
    stated = particles.contrast_sign
    if found.sign == 0:
        return make_check("contrast", value, "unknown", sentence)
    if stated is not None and stated != found.sign:
        meant = "white" if stated > 0 else "dark"
        return make_check("contrast", value, "bad", f"{sentence} The metadata say {meant}.")
    return make_check("contrast", value, "good", sentence)


def _make_quick_map(
    job: JobFolder, sample: _Sample, signs: npt.NDArray[np.int8], device: torch.device
) -> None:
    source = ImageSource(sample.particles, sample.radius, sign=signs, device=device)
    if len(torch.unique(sample.half)) < 2:
        return
    with job.progress(len(source), "images") as progress:
        consensus = fit_consensus(source, sample.half, watch=progress.advance)
    box = consensus.mean.shape[-1]
    pixel_size = source.pixel_size * source.particles.box / box
    index = VolumeIndex(job.path, pixel_size)
    index.write(
        "mean",
        consensus.mean,
        "mean",
        "quick map",
        resolution=consensus.resolution,
        n_effective=len(source),
    )
    index.write("mask", consensus.mask, "mask", "soft solvent mask")
    write_consensus_curves(job, consensus, sample.particles, pixel_size)
    job.update(box=box, pixel_size=pixel_size, resolution_angstrom=consensus.resolution)
    job.log(f"quick map of {len(source)} images: {consensus.resolution:.1f} Å")
