"""What `prepare` decides before it touches the images: sizes, sign, whitening."""

import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError, CryoswayWarning
from cryosway.engine import JobFolder, write_json
from cryosway.particles import (
    GroupGeometry,
    Particles,
    PreparationSteps,
    centred_transforms,
    detect_contrast,
    make_whitening,
    measure_noise,
    plan_geometry,
    to_images,
)

FloatArray = npt.NDArray[np.float64]

_BATCH_BYTES = 32 << 20
_NOISE_IMAGES = 400
_CONTRAST_IMAGES = 500


@dataclass(frozen=True)
class PreparationPlan:
    """Everything that decides what is written."""

    box: int
    pixel_size: float
    groups: Mapping[int, GroupGeometry]
    steps: PreparationSteps
    signs: npt.NDArray[np.int8]
    white: bool
    dtype: str
    batch: int


def make_plan(job: JobFolder, particles: Particles, config: Mapping[str, Any]) -> PreparationPlan:
    groups_by_size = particles.ctf["optics_group"].value_counts().index.tolist()
    boxes = particles.boxes
    means = particles.ctf.groupby("optics_group")["pixel_size"].mean()
    box, pixel_size, groups = plan_geometry(
        {int(g): boxes[int(g)] for g in groups_by_size},
        {int(g): float(means.loc[g]) for g in groups_by_size},
        crop=config["crop"],
        box=config["box"],
        pixel_size=config["pixel_size"],
    )
    _tell_geometry(job, pixel_size, groups, box)
    _require_space(job.path, len(particles) * box * box * np.dtype(config["dtype"]).itemsize)
    signs, white = _choose_signs(job, particles, config["contrast"])
    whitening = _measure_whitening(job, particles, groups) if config["whiten"] else {}
    steps = PreparationSteps(box, config["normalise"], config["window"], whitening)
    largest = max(boxes.values())
    batch = config["batch"] or int(np.clip(_BATCH_BYTES // (4 * largest**2), 16, 1024))
    return PreparationPlan(box, pixel_size, groups, steps, signs, white, config["dtype"], batch)


def _tell_geometry(
    job: JobFolder, pixel_size: float, groups: Mapping[int, GroupGeometry], box: int
) -> None:
    ways = {
        f"{g.size} px" + (f" cropped to {g.crop}" if g.crop != g.size else "")
        for g in groups.values()
    }
    job.decide("box", box, f"images of {' and '.join(sorted(ways))} become {box} px")
    job.decide(
        "pixel size", round(pixel_size, 6), f"{pixel_size:.4f} Å per pixel in a {box} px box"
    )
    for group, geometry in groups.items():
        difference = abs(geometry.pixel_size / pixel_size - 1)
        if difference > 0.01:
            message = (
                f"optics group {group} ends at {geometry.pixel_size:.4f} Å/px, "
                f"{100 * difference:.1f} % from {pixel_size:.4f}; another --box may come closer"
            )
            warnings.warn(message, CryoswayWarning, stacklevel=2)


def _require_space(folder: Path, needed: int) -> None:
    stack = folder / "particles.mrcs"
    present = stack.stat().st_size if stack.exists() else 0
    free = shutil.disk_usage(folder).free
    if needed - present > free:
        message = (
            f"{folder} needs {(needed - present) / 1e9:.1f} GB but its disk has only "
            f"{free / 1e9:.1f} GB free; make room, choose another --out, or a smaller --box"
        )
        raise CryoswayError(message)


def _choose_signs(
    job: JobFolder, particles: Particles, contrast: str
) -> tuple[npt.NDArray[np.int8], bool]:
    """Return the sign to multiply each image with, and whether the result is known to be white."""
    count = len(particles)
    if contrast != "auto":
        sign = 1 if contrast == "white" else -1
        job.decide("contrast", contrast, "as the user said")
        return np.full(count, sign, np.int8), True
    known = particles.contrast_signs
    estimate = detect_contrast(particles, sample=_CONTRAST_IMAGES)
    if known.all():
        _warn_contradiction(known, estimate.sign, estimate.describe())
        value = "white" if (known > 0).all() else "dark" if (known < 0).all() else "mixed"
        job.decide("contrast", value, f"as the metadata say; in the images, {estimate.describe()}")
        return known, True
    if estimate.sign == 0:
        message = f"{estimate.describe()}; kept as it is, say contrast= (--contrast) white or dark"
        warnings.warn(message, CryoswayWarning, stacklevel=2)
        job.decide("contrast", "unknown", message)
        return np.ones(count, np.int8), False
    job.decide("contrast", "white" if estimate.sign > 0 else "dark", estimate.describe())
    return np.where(known == 0, estimate.sign, known).astype(np.int8), True


def _warn_contradiction(known: npt.NDArray[np.int8], detected: int, why: str) -> None:
    distinct = np.unique(known)
    if detected and len(distinct) == 1 and distinct[0] != detected:
        stated = "white" if distinct[0] > 0 else "dark"
        message = (
            f"the metadata say that protein is {stated} but {why}; the metadata are followed, "
            "say contrast= (--contrast) to decide"
        )
        warnings.warn(message, CryoswayWarning, stacklevel=2)


def _measure_whitening(
    job: JobFolder, particles: Particles, groups: Mapping[int, GroupGeometry]
) -> dict[int, npt.NDArray[np.float32]]:
    """Measure the noise of each optics group; write the spectra to curves.json."""
    filters, curves = {}, []
    of_group = particles.ctf["optics_group"].to_numpy()
    for group, geometry in groups.items():
        rows = np.flatnonzero(of_group == group)
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, _NOISE_IMAGES).astype(np.int64))]
        part = particles[rows]
        transforms = centred_transforms(part.images(), shifts_in_pixels(part), geometry)
        power = measure_noise(to_images(transforms))
        filters[group] = make_whitening(power, geometry.fourier_box)
        frequency = np.arange(len(power)) / (geometry.fourier_box * geometry.pixel_size)
        curves.append({"optics_group": group, "frequency_per_angstrom": frequency, "power": power})
    write_json(job.path / "curves.json", {"noise": curves})
    why = "images are divided by the noise amplitude of each shell, measured in their backgrounds"
    job.decide("whitening", True, why)
    return filters


def shifts_in_pixels(particles: Particles) -> FloatArray:
    if not particles.has_poses:
        return np.zeros((len(particles), 2))
    return particles.shifts / particles.ctf["pixel_size"].to_numpy()[:, None]
