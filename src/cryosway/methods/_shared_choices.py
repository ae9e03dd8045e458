"""What every method decides alike before it starts: particles, contrast, mask, weights."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cryosway._errors import CryoswayError, CryoswayWarning
from cryosway.engine import JobFolder, hash_file, read_table
from cryosway.jobs import open_job
from cryosway.particles import Particles, detect_contrast, read_map, read_particles

FloatArray = npt.NDArray[np.float64]
ParticlesLike = Particles | str | Path | Sequence[str | Path]
WeightsLike = npt.ArrayLike | str | Path

_CONTRAST_IMAGES = 500
_WINDOW_IMAGES = 100
_FADED = 0.3  # variance in the corners over that of a ring around the particle


def as_particles(particles: ParticlesLike) -> Particles:
    """Give particles as they are, or read them from a path or several."""
    found = particles if isinstance(particles, Particles) else read_particles(particles)
    if not len(found):
        message = "there is nothing to do: the set of particles is empty"
        raise CryoswayError(message)
    return found


def choose_contrast(
    job: JobFolder, particles: Particles, contrast: str = "auto"
) -> npt.NDArray[np.int8]:
    """Decide the sign that makes protein white in each image, and note why.

    Parameters
    ----------
    job : JobFolder
        Gets the decision.
    particles : Particles
        The metadata's sign is followed where it is known, else it is detected.
    contrast : {"auto", "white", "dark"}
        What the user says that the protein is.

    Returns
    -------
    ndarray
        Shape (N,), +1 or −1.
    """
    if contrast != "auto":
        job.decide("contrast", contrast, "as the user said")
        return np.full(len(particles), 1 if contrast == "white" else -1, np.int8)
    known = particles.contrast_signs
    found = detect_contrast(particles, sample=_CONTRAST_IMAGES)
    if known.all():
        stated = _name_sign(known)
        if found.sign and stated in ("white", "dark") and _name_sign([found.sign]) != stated:
            message = (
                f"the metadata say that protein is {stated} but {found.describe()}; the metadata "
                "are followed, say contrast= (--contrast) to decide"
            )
            warnings.warn(message, CryoswayWarning, stacklevel=2)
        job.decide("contrast", stated, f"as the metadata say; in the images, {found.describe()}")
        return known
    if found.sign == 0:
        message = f"{found.describe()}; taken as white, say contrast= (--contrast) white or dark"
        warnings.warn(message, CryoswayWarning, stacklevel=2)
        job.decide("contrast", "unknown", message)
        return np.where(known == 0, 1, known).astype(np.int8)
    job.decide("contrast", _name_sign([found.sign]), found.describe())
    return np.where(known == 0, found.sign, known).astype(np.int8)


def _name_sign(signs: npt.ArrayLike) -> str:
    distinct = np.unique(signs)
    return "mixed" if len(distinct) > 1 else "white" if distinct[0] > 0 else "dark"


def fingerprint_file(path: str | Path) -> str:
    """Identify a file that an option names by its content."""
    try:
        return hash_file(Path(path))
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror}); is the path right?"
        raise CryoswayError(message) from None


def fingerprint_inputs(particles: Particles, options: object) -> dict[str, str]:
    """Give the inputs of a method for job.json: particles, and what its options name.

    That is a mask, a linear job or an atomic model, where the method has such an option.
    """
    inputs = {"particles": particles.fingerprint()}
    mask, linear, model = (getattr(options, name, None) for name in ("mask", "linear", "model"))
    if isinstance(mask, Path):
        inputs["mask"] = fingerprint_file(mask)
    if linear is not None:
        inputs["linear"] = fingerprint_file(open_job(linear).main.path / "model.safetensors")
    if model is not None:
        inputs["model"] = fingerprint_file(model)
    return inputs


def locate_particles(particles: Particles) -> dict[str, Any]:
    """Give where particles were read from, for ``sources`` of job.json; nothing of a selection."""
    return {} if particles.files is None else particles.files.describe()


def load_mask(mask: str | Path, box: int, pixel_size: float) -> torch.Tensor | None:
    """Load the mask that an option names.

    Parameters
    ----------
    mask : "auto", "none" or path
        The option.
    box : int
        Voxels a side of the maps that it will cover.
    pixel_size : float
        Å per voxel of these maps.

    Returns
    -------
    Tensor or None
        Shape (D, D, D), float32, 0 to 1; None for ``auto``: it is to be made from the data.

    Raises
    ------
    CryoswayError
        When box, pixel size or values do not fit.
    """
    if mask == "auto":
        return None
    if mask == "none":
        return torch.ones(box, box, box)
    values, info = read_map(mask)
    problem = _find_mask_problem(values, float(info.pixel_size), box, pixel_size)
    if problem:
        message = f"the mask {mask} {problem}"
        raise CryoswayError(message)
    return torch.from_numpy(np.array(values, np.float32))


def _find_mask_problem(
    values: npt.NDArray[Any], found_size: float, box: int, pixel_size: float
) -> str | None:
    sizes = f"the maps have {box} voxels of {pixel_size:.4g} Å a side"
    if values.shape != (box, box, box):
        shape = " × ".join(str(n) for n in values.shape)
        return f"has {shape} voxels, but {sizes}; resample it to that box"
    if abs(found_size / pixel_size - 1) > 0.01:
        return f"has voxels of {found_size:.4g} Å, but {sizes}; correct its header or resample it"
    if not np.isfinite(values).all() or values.min() < -0.01 or values.max() > 1.01:
        return f"has values from {values.min():.3g} to {values.max():.3g}; a mask has 0 to 1"
    if values.max() < 0.5:
        return "is empty: no voxel reaches 0.5"
    return None


def load_weights(weights: WeightsLike | None, count: int) -> FloatArray | None:
    """Load one weight per particle from an array or a file.

    Parameters
    ----------
    weights : array_like or path, optional
        Of non-negative numbers; or a .npy, .txt, .csv or .parquet file. A table has a column
        ``weight``, and may have a column ``index``: rows in the input; those not listed weigh 0.
    count : int
        Number of particles.

    Returns
    -------
    ndarray or None
        Shape (N,), scaled so that they sum to the number of particles that they are worth,
        (Σw)² / Σw²; weights of 0 and 1 stay as they are.

    Raises
    ------
    CryoswayError
        When they do not fit the particles.
    """
    if weights is None:
        return None
    given = isinstance(weights, str | Path)
    name = str(weights) if given else "weights"
    raw = _read_weights(Path(name), count) if given else np.asarray(weights)
    if raw.shape != (count,) or raw.dtype.kind not in "biuf":
        message = f"{name}: there are {count} particles, but weights of shape {raw.shape}"
        raise CryoswayError(message)
    found = raw.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(found) | (found < 0))
    if len(bad):
        message = f"{name}: particle {bad[0] + 1} has weight {found[bad[0]]}; give 0 or more"
        raise CryoswayError(message)
    if np.count_nonzero(found) < 2:
        message = f"{name}: fewer than two particles have a weight above 0"
        raise CryoswayError(message)
    return np.asarray(found * (found.sum() / (found**2).sum()), np.float64)


def _read_weights(path: Path, count: int) -> FloatArray:
    readers = {
        ".npy": lambda: np.load(path, allow_pickle=False),
        ".txt": lambda: np.loadtxt(path, ndmin=1),
        ".csv": lambda: _spread_table(path, count),
        ".parquet": lambda: _spread_table(path, count),
    }
    if path.suffix not in readers:
        message = f"{path}: weights are read from .npy, .txt, .csv or .parquet files"
        raise CryoswayError(message)
    try:
        return np.asarray(readers[path.suffix](), np.float64)
    except (OSError, ValueError) as error:
        message = f"{path} holds no weights that can be read: {error}"
        raise CryoswayError(message) from None


def _spread_table(path: Path, count: int) -> FloatArray:
    import pandas as pd

    table = read_table(path) if path.suffix == ".parquet" else pd.read_csv(path)
    if "weight" not in table:
        message = f"{path} has no column weight, but {', '.join(map(str, table.columns[:6]))}"
        raise CryoswayError(message)
    values = table["weight"].to_numpy(np.float64)
    if "index" not in table:
        return np.asarray(values)
    rows = table["index"].to_numpy(np.int64)
    if len(rows) and not (rows.min() >= 0 and rows.max() < count):
        message = f"{path} names particle {rows.max()}, but rows go from 0 to {count - 1}"
        raise CryoswayError(message)
    spread = np.zeros(count)
    spread[rows] = values
    return spread


def warn_of_window(particles: Particles) -> None:
    """Warn where images fade out towards their corners, which fits take for less noise.

    The fits take noise as even over the image. Where a window has removed it outside of the
    particle, its spectrum comes out too low for the inside, and noise there looks like motion.
    """
    rows = np.unique(np.linspace(0, len(particles) - 1, _WINDOW_IMAGES).astype(np.int64))
    images = particles.images(rows)
    half = particles.box / 2
    axis = (np.arange(particles.box) - particles.box // 2) / half
    radius = np.hypot(axis[:, None], axis)
    corners, ring = images[:, radius > 1.1], images[:, (radius > 0.6) & (radius < 0.75)]
    if np.median(corners.var(axis=1)) < _FADED * np.median(ring.var(axis=1)):
        message = (
            "the images fade out towards their corners: noise is underestimated, and directions "
            "that are noise may look real; prepare them with --no-window"
        )
        warnings.warn(message, CryoswayWarning, stacklevel=2)
