"""`prepare`: particles centred, downsampled and normalised into one stack that streams fast."""

import time
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from cryosway._errors import CryoswayError, CryoswayWarning
from cryosway.engine import JobFolder, count_cpus, write_table
from cryosway.jobs import Job, open_job
from cryosway.methods._inputs.prepare_plan import PreparationPlan, make_plan, shifts_in_pixels
from cryosway.methods._options import PrepareOptions
from cryosway.methods._shared_choices import locate_particles
from cryosway.optics import matrix_to_relion_euler
from cryosway.particles import (
    Particles,
    PreparedImages,
    PreparedStack,
    StackWriter,
    prepare_images,
    write_prepared_star,
)

FloatArray = npt.NDArray[np.float64]

_SECONDS_PER_CHECKPOINT = 2.0
_LARGEST_FLOAT16 = 65504.0


def prepare(
    particles: Particles,
    out: str | Path,
    *,
    crop: int | None = None,
    box: int | None = None,
    pixel_size: float | None = None,
    contrast: Literal["auto", "white", "dark"] = "auto",
    window: bool = True,
    normalise: bool = True,
    whiten: bool = False,
    dtype: Literal["float16", "float32"] = "float16",
    batch: int | None = None,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
) -> Job:
    """Centre, downsample and normalise particle images into one stack and a STAR file.

    Each image is shifted to its centre and Fourier-cropped (in one transform), optionally
    whitened, brought to mean 0 and variance 1 in its background ring, made white on black,
    and multiplied by a soft circular window. Images stream through bounded memory; an
    interrupted job goes on where it stopped and ends with the same bytes.

    Parameters
    ----------
    particles : Particles
        What to prepare.
    out : path
        Job folder: ``particles.mrcs``, ``particles.star`` (RELION 3.1; shifts are 0, those taken
        out and the original image names are in columns of their own), ``particles.parquet``.
    crop : int, optional
        Pixels to keep about the shifted centre before downsampling; all by default.
    box : int, optional
        Pixels of the result, even; as many as the images have by default.
    pixel_size : float, optional
        Å per pixel of the result, instead of `box` (which is then rounded to even); with both,
        images are cropped or padded to `box` after downsampling.
    contrast : {"auto", "white", "dark"}
        What the protein is in the stored images: dark images are inverted; ``auto`` takes the
        sign from the metadata, else detects it.
    window : bool
        Whether to fade images out towards the edge.
    normalise : bool
        Whether to bring backgrounds to mean 0 and variance 1.
    whiten : bool
        Whether to divide by the measured noise amplitude of each shell and optics group.
    dtype : {"float16", "float32"}
        Type of pixel in the stack.
    batch : int, optional
        Images at a time; about 32 MB by default.
    resume, overwrite : bool
        Whether to go on with an unfinished job, or to replace another one.
    device : str
        Not used: preparing is limited by the disk and FFTs on the CPU.
    threads : int, optional
        Threads; all CPUs by default.

    Returns
    -------
    Job
        The job folder; ``read_particles(job.path / "particles.star")`` reads the result.
    """
    out = Path(out)
    config = {
        "crop": crop,
        "box": box,
        "pixel_size": pixel_size,
        "contrast": contrast,
        "window": window,
        "normalise": normalise,
        "whiten": whiten,
        "dtype": dtype,
        "batch": batch,
    }
    inputs = {"particles": particles.fingerprint()}
    _check(particles, config)
    with JobFolder.start(
        out, "prepare", PrepareOptions.check("prepare", config), inputs,
        sources=locate_particles(particles), resume=resume, overwrite=overwrite,
    ) as job:  # fmt: skip
        if not job.already_finished:
            with job.stage("plan"):
                plan = make_plan(job, particles, config)
            with job.stage("images"):
                _write_images(job, particles, plan, threads or count_cpus())
            with job.stage("tables"):
                _write_tables(job, particles, plan)
            job.delete_checkpoint("images")
    return open_job(out)


def _check(particles: Particles, config: Mapping[str, Any]) -> None:
    if not len(particles):
        raise CryoswayError("there is nothing to prepare: the set of particles is empty")
    choices = {"contrast": ("auto", "white", "dark"), "dtype": ("float16", "float32")}
    for name, allowed in choices.items():
        if config[name] not in allowed:
            message = f"prepare: {name} is one of {', '.join(allowed)}, not {config[name]!r}"
            raise CryoswayError(message)
    if config["batch"] is not None and config["batch"] < 1:
        raise CryoswayError(f"prepare: batch is at least 1, not {config['batch']}")


def _write_images(
    job: JobFolder, particles: Particles, plan: PreparationPlan, threads: int
) -> None:
    count = len(particles)
    background = np.zeros((count, 2), np.float32)
    done = 0
    if (saved := job.load_checkpoint("images")) is not None:
        background, done = np.array(saved[0]["background"]), int(saved[1]["written"])
    began, before = time.monotonic(), done
    with (
        StackWriter(
            job.path / "particles.mrcs", plan.box, plan.pixel_size, plan.dtype, count, start=done
        ) as stack,
        job.progress(count, "images", done=done) as progress,
    ):
        saved_at = began
        for start, result in _stream(particles, plan, done, threads):
            rows = slice(start, start + len(result.images))
            stack.write(result.images)
            background[rows, 0], background[rows, 1] = result.background_mean, result.background_sd
            progress.advance(len(result.images))
            if time.monotonic() - saved_at > _SECONDS_PER_CHECKPOINT:
                _save(job, stack, background)
                saved_at = time.monotonic()
        _save(job, stack, background)
    speed = (count - before) / max(time.monotonic() - began, 1e-9)
    job.log(f"{speed:.0f} images per second")
    _warn_flat(particles, background[:, 1])


def _save(job: JobFolder, stack: StackWriter, background: npt.NDArray[np.float32]) -> None:
    stack.flush()
    job.save_checkpoint("images", {"background": background}, {"written": stack.written})


def _stream(
    particles: Particles, plan: PreparationPlan, done: int, threads: int
) -> Iterator[tuple[int, PreparedImages]]:
    """Prepare batches in parallel and hand them out in order, few of them in memory at a time."""
    shifts = shifts_in_pixels(particles)
    groups = particles.ctf["optics_group"].to_numpy()
    starts = iter(range(done, len(particles), plan.batch))
    waiting: deque[tuple[int, Future[PreparedImages]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                while len(waiting) <= threads and (start := next(starts, None)) is not None:
                    rows = np.arange(start, min(start + plan.batch, len(particles)))
                    waiting.append(
                        (start, pool.submit(_prepare_batch, particles, rows, shifts, groups, plan))
                    )
                if not waiting:
                    return
                start, future = waiting.popleft()
                yield start, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def _prepare_batch(
    particles: Particles,
    rows: npt.NDArray[np.int64],
    shifts: FloatArray,
    groups: npt.NDArray[np.int64],
    plan: PreparationPlan,
) -> PreparedImages:
    """Read and prepare a batch, each optics group of it by its own geometry."""
    images = np.empty((len(rows), plan.box, plan.box), plan.dtype)
    mean, sd = np.zeros(len(rows), np.float32), np.ones(len(rows), np.float32)
    for group in np.unique(groups[rows]).tolist():
        members = np.flatnonzero(groups[rows] == group)
        some = rows[members]
        stored = particles.images(some)
        result = prepare_images(
            stored, shifts[some], plan.signs[some], group, plan.groups[group], plan.steps
        )
        _require_finite(particles, some, result, plan.dtype)
        images[members] = result.images
        mean[members], sd[members] = result.background_mean, result.background_sd
    return PreparedImages(images, mean, sd)


def _require_finite(
    particles: Particles, rows: npt.NDArray[np.int64], result: PreparedImages, dtype: str
) -> None:
    """Refuse images with NaN, and values that float16 cannot hold."""
    largest = np.abs(result.images).max(axis=(1, 2))
    limit = _LARGEST_FLOAT16 if dtype == "float16" else np.inf
    bad = ~((largest < limit) & np.isfinite(result.background_sd))
    if not bad.any():
        return
    first = int(np.flatnonzero(bad)[0])
    row = int(rows[first])
    name = particles[row].source["image_name"].iloc[0]
    if np.isfinite(largest[first]) and np.isfinite(result.background_sd[first]):
        message = (
            f"particle {row + 1} ({name}) has values up to {largest[first]:.3g}, too large for "
            "float16; pass dtype='float32' (--dtype float32), or normalise"
        )
        raise CryoswayError(message)
    message = f"particle {row + 1} ({name}) holds values that are not finite; remove that particle"
    raise CryoswayError(message)


def _warn_flat(particles: Particles, sd: npt.NDArray[np.float32]) -> None:
    flat = np.flatnonzero(sd == 0)
    if len(flat):
        name = particles[int(flat[0])].source["image_name"].iloc[0]
        more = f" and {len(flat) - 1} more" if len(flat) > 1 else ""
        message = f"particle {flat[0] + 1} ({name}){more} is a blank image; remove such particles"
        warnings.warn(message, CryoswayWarning, stacklevel=2)


def _write_tables(job: JobFolder, particles: Particles, plan: PreparationPlan) -> None:
    groups = particles.ctf["optics_group"].to_numpy()
    sizes = np.array([plan.groups[int(group)].pixel_size for group in groups])
    stack = job.path / "particles.mrcs"
    made = PreparedStack(stack, str(stack), sizes, plan.white)
    write_prepared_star(job.path / "particles.star", particles.records, made)
    saved = job.load_checkpoint("images")
    assert saved is not None
    write_table(
        job.path / "particles.parquet", _make_table(particles, sizes, saved[0]["background"])
    )
    job.update(box=plan.box, pixel_size=plan.pixel_size, images=len(particles))


def _make_table(particles: Particles, sizes: FloatArray, background: Any) -> pd.DataFrame:
    """One row per particle: pose, CTF, where it came from and what was taken out."""
    count = len(particles)
    columns: dict[str, Any] = {
        "index": np.arange(count),
        "image_name": [f"{i + 1:06d}@particles.mrcs" for i in range(count)],
        "source_image_name": particles.source["image_name"],
    }
    if particles.has_poses:
        rot, tilt, psi = matrix_to_relion_euler(particles.rotations)
        columns |= {"rot": rot, "tilt": tilt, "psi": psi}
        columns |= {"shift_x": np.zeros(count), "shift_y": np.zeros(count)}
        columns |= {f"removed_shift_{a}": s for a, s in zip("xy", particles.shifts.T, strict=True)}
    columns |= {str(name): column for name, column in particles.ctf.items()}
    columns["pixel_size"] = sizes
    if particles.half_sets is not None:
        columns["half"] = particles.half_sets
    background = np.asarray(background)
    columns |= {"background_mean": background[:, 0], "background_sd": background[:, 1]}
    return pd.DataFrame(columns)
