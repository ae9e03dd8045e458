"""What the metadata alone tell: counts, optics, views, shifts, and whether the values can be."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cryosway.particles import Particles

FloatArray = npt.NDArray[np.float64]
Check = dict[str, Any]

_DIRECTIONS = 400
_BAND_DEGREES = 5.0
_MOST_VIEWS = 20_000
_ENOUGH_FOR_VIEWS = 200
_RANGES = {
    "voltage": (20.0, 1500.0, "kV"),
    "cs": (0.0, 10.0, "mm"),
    "amplitude_contrast": (0.0, 1.0, ""),
    "pixel_size": (0.1, 50.0, "Å"),
}


def make_check(name: str, value: object, verdict: str, sentence: str) -> Check:
    """Make an entry of inspect.json's ``checks``.

    Parameters
    ----------
    name : str
        What was looked at.
    value : Any
        What was found.
    verdict : {"good", "bad", "unknown"}
        The report calls attention to what is bad.
    sentence : str
        What it means, and what to do.

    Returns
    -------
    dict
    """
    return {"name": name, "value": value, "verdict": verdict, "sentence": sentence}


def summarise(particles: Particles) -> dict[str, Any]:
    """Count and list what is in the files; lengths in Å, angles in degrees.

    Parameters
    ----------
    particles : Particles
        Any.

    Returns
    -------
    dict
        Of plain values, for inspect.json.
    """
    summary: dict[str, Any] = {
        "particles": len(particles),
        "stacks": int(particles.source["image_path"].nunique()),
        "optics_groups": _describe_groups(particles),
        "poses": particles.has_poses,
        "ctf": particles.has_ctf,
        "aberrations_not_applied": particles.aberrations,
        "defocus_angstrom": _spread(particles.ctf[["defocus_u", "defocus_v"]].mean(axis=1)),
    }
    if "micrograph" in particles.source:
        summary["micrographs"] = int(particles.source["micrograph"].nunique())
    if particles.half_sets is not None:
        numbers, counts = np.unique(particles.half_sets, return_counts=True)
        summary["half_sets"] = {int(n): int(c) for n, c in zip(numbers, counts, strict=True)}
    if particles.has_poses:
        summary["shift_angstrom"] = _spread(np.hypot(*particles.shifts.T))
    return summary


def _describe_groups(particles: Particles) -> list[dict[str, Any]]:
    boxes, table = particles.boxes, particles.ctf
    names = ["pixel_size", "voltage", "cs", "amplitude_contrast", "phase_shift"]
    rows = []
    for number in sorted(set(table["optics_group"].tolist())):
        members = table[table["optics_group"] == number]
        values = {name: float(members[name].mean()) for name in names}
        rows.append(
            {"optics_group": number, "particles": len(members), "box": boxes[number], **values}
        )
    return rows


def _spread(values: npt.ArrayLike) -> dict[str, float]:
    array = np.asarray(values, np.float64)
    return {
        "least": float(array.min()),
        "median": float(np.median(array)),
        "most": float(array.max()),
    }


def check_metadata(particles: Particles) -> list[Check]:
    """Check that optics, shifts and views have values that can be.

    Parameters
    ----------
    particles : Particles
        Any.

    Returns
    -------
    list of dict
        Entries as from `make_check`.
    """
    checks = [_check_optics(particles), _check_defocus(particles)]
    if particles.has_poses:
        checks += [_check_shifts(particles), _check_views(particles.rotations)]
    if particles.aberrations:
        checks.append(
            make_check(
                "aberrations",
                ", ".join(particles.aberrations),
                "unknown",
                "The files hold higher-order aberrations, which are not applied; they matter for "
                "the finest resolutions only.",
            )
        )
    return checks


def _check_optics(particles: Particles) -> Check:
    table = particles.ctf
    wrong = [text for name in _RANGES if (text := _find_outlier(table[name], name))]
    kinds = table[["voltage", "cs", "pixel_size"]].round(4).drop_duplicates()
    value = "; ".join(
        f"{kv:g} kV, Cs {cs:g} mm, {size:.4g} Å/px"
        for kv, cs, size in kinds.head(3).itertuples(index=False)
    )
    if wrong:
        sentence = f"Values that cannot be: {'; '.join(wrong)}. Are the units right?"
        return make_check("optics", value, "bad", sentence)
    return make_check("optics", value, "good", "The values are in the usual range.")


def _find_outlier(values: "pd.Series[Any]", name: str) -> str | None:
    low, high, unit = _RANGES[name]
    array = values.to_numpy(np.float64)
    outside = array[(array < low) | (array > high)]
    return f"{name.replace('_', ' ')} {outside[0]:g} {unit}".strip() if len(outside) else None


def _check_defocus(particles: Particles) -> Check:
    defocus = particles.ctf[["defocus_u", "defocus_v"]].to_numpy(np.float64).mean(axis=1)
    if not particles.has_ctf or not defocus.any():
        sentence = (
            "The files state no defocus, so the CTF is taken as constant: right for images that "
            "are corrected for it."
        )
        return make_check("defocus", "none", "unknown", sentence)
    value = f"{defocus.min() / 1e4:.2f} to {defocus.max() / 1e4:.2f} µm"
    problem = _find_defocus_problem(defocus)
    if problem:
        return make_check("defocus", value, "bad", problem)
    return make_check("defocus", value, "good", "The values are in the usual range.")


def _find_defocus_problem(defocus: FloatArray) -> str | None:
    median = float(np.median(defocus))
    if np.abs(defocus).max() < 200:
        return f"A defocus of {median:g} Å cannot be: is it in µm or nm, not Å?"
    if median < 0:
        return "Defocus is negative, which means overfocus: is its sign right?"
    if median > 1.5e5:
        return f"A defocus of {median:g} Å is out of range: is its unit Å?"
    return None


def _check_shifts(particles: Particles) -> Check:
    length = np.hypot(*particles.shifts.T)
    table = particles.ctf
    width = table["optics_group"].map(particles.boxes).to_numpy(np.float64) * table["pixel_size"]
    value = f"median {np.median(length):.3g} Å, at most {length.max():.3g} Å"
    far = float(np.mean(length > 0.25 * width))
    if far > 0.05:
        sentence = (
            f"{100 * far:.0f} % of the particles lie more than a quarter of the box off centre: "
            "re-extract them, or run cryosway prepare before any cropping."
        )
        return make_check("shifts", value, "bad", sentence)
    return make_check("shifts", value, "good", "The particles lie well within their boxes.")


def _check_views(rotations: FloatArray) -> Check:
    if len(rotations) < _ENOUGH_FOR_VIEWS:
        sentence = f"{len(rotations)} particles are too few to judge how views spread."
        return make_check("views", None, "unknown", sentence)
    least = measure_sampling(rotations)
    value = f"{100 * least:.0f} %"
    if least < 0.1:
        sentence = (
            "Views are so uneven that one direction of Fourier space gets less than a tenth of "
            "the average: maps will be smeared along it."
        )
        return make_check("views", value, "bad", sentence)
    sentence = f"The least sampled direction of Fourier space gets {value} of the average."
    return make_check("views", value, "good", sentence)


def measure_sampling(rotations: FloatArray) -> float:
    """Measure how much of the average sampling the least sampled direction of Fourier space gets.

    A view along v samples the directions perpendicular to v; for each of many directions the
    views within 5° of perpendicular are counted.

    Parameters
    ----------
    rotations : array, shape (N, 3, 3)
        x_image = R x_reference.

    Returns
    -------
    float
        1 for even views, 0 for a missing cone.

    Examples
    --------
    >>> measure_sampling(np.repeat(np.eye(3)[None], 300, 0))
    0.0
    """
    step = max(1, len(rotations) // _MOST_VIEWS)
    views = rotations[::step, 2, :]
    number = np.arange(_DIRECTIONS) + 0.5
    z, angle = 1 - number / _DIRECTIONS, np.pi * (1 + 5**0.5) * number  # a half sphere
    level = np.sqrt(1 - z**2)
    directions = np.stack([level * np.cos(angle), level * np.sin(angle), z], axis=1)
    narrow = np.sin(np.radians(_BAND_DEGREES))
    share = (np.abs(views @ directions.T) < narrow).mean(axis=0)
    return float(min(share.min() / narrow, 1.0))
