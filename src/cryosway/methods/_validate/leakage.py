"""Leakage: whether the latents tell of view, defocus, shift, micrograph or the mean of the image.

A draw from each particle's posterior is looked at, not its mean: means lie the nearer to the middle
the less an image says, which depends on view and defocus however good the method is.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cryosway.engine import JobFolder
from cryosway.methods._held_out import choose_rows
from cryosway.methods._validate.options import ValidateOptions
from cryosway.methods._validate.parts import Finding
from cryosway.methods._validate.subject import Subject, draw_latents
from cryosway.optics import relion_euler_to_matrix
from cryosway.particles import Particles
from cryosway.validate import Leakage, find_neighbours, measure_leakage

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_MOST = 5_000  # particles
_BATCH = 256
_SURE = 0.01
_MUCH = 0.05  # share of the variance
_FEW = 2  # micrographs, at least


def check_leakage(job: JobFolder, subject: Subject, options: ValidateOptions) -> Finding:
    """Look for what latents should not know, one quantity after the other.

    Parameters
    ----------
    job
        Of `validate`; shows the progress.
    subject
        The job that is validated.
    options
        ``permutations`` and ``seed``.
    """
    rows = choose_rows(len(subject.job.latents), _MOST, options.seed)
    known_width = subject.job.latent_sd is not None
    posterior = subject.posterior
    latents = draw_latents(posterior, options.seed) if known_width else posterior.mean
    near = find_neighbours(subject.axes.project(latents)[rows])
    known = list(_list_quantities(job, subject, rows))
    found: dict[str, Leakage] = {}
    with job.progress(len(known), "leakage") as progress:
        for name, values in known:
            found[name] = measure_leakage(near, values, options.permutations, options.seed)
            progress.advance()
    quantities = {name: {**vars(one), "verdict": judge_leakage(one)} for name, one in found.items()}
    return Finding(
        _sum_up(found),
        say_leakage(found),
        {"quantities": quantities, "particles": len(rows), "permutations": options.permutations},
    )


def judge_leakage(found: Leakage) -> str:
    """Give ``none``, ``weak`` or ``strong``."""
    if found.p_value > _SURE:
        return "none"
    return "strong" if found.share >= _MUCH else "weak"


def _sum_up(found: dict[str, Leakage]) -> str:
    for strength in ("strong", "weak"):
        if named := [name for name, one in found.items() if judge_leakage(one) == strength]:
            return f"{strength}: {', '.join(named)}"
    return "none found"


def say_leakage(found: dict[str, Leakage]) -> list[str]:
    """Say what latents know, the most first."""
    order = sorted(found, key=lambda name: -found[name].share)
    said = []
    for name in order:
        one, strength = found[name], judge_leakage(found[name])
        if strength == "none":
            continue
        tail = (
            "this part of the landscape is not conformation"
            if strength == "strong"
            else "too little to shape the landscape"
        )
        said.append(
            f"Leakage: particles that are near in the latents are alike in {name}, which latents "
            f"should not know: they tell {100 * one.share:.2g} % of its variance "
            f"(p = {one.p_value:.2g}); {tail}."
        )
    silent = [name for name in order if judge_leakage(found[name]) == "none"]
    if silent:
        said.append(f"Leakage: latents tell nothing of {_join(silent)} (p > {_SURE:g} for each).")
    return said


def _join(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _list_quantities(
    job: JobFolder, subject: Subject, rows: Rows
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """List what a particle has that is not its conformation, as far as the job knows it."""
    table = subject.job.particles.iloc[rows]
    if {"rot", "tilt", "psi"} <= set(table):
        rotations = relion_euler_to_matrix(table["rot"], table["tilt"], table["psi"])
        yield "the direction of view", np.asarray(rotations)[:, 2]
        angle = np.deg2rad(table["psi"].to_numpy(np.float64))
        yield "the angle in the image", np.column_stack([np.cos(angle), np.sin(angle)])
    if {"defocus_u", "defocus_v"} <= set(table):
        yield "defocus", table[["defocus_u", "defocus_v"]].to_numpy(np.float64).mean(1)
    if {"shift_x", "shift_y"} <= set(table):
        yield "the shift", table[["shift_x", "shift_y"]].to_numpy(np.float64)
    if not subject.has_images:
        return
    particles = subject.data.particles[rows]
    source = particles.source
    origin = source["micrograph" if "micrograph" in source else "image_path"].astype(str)
    if _FEW <= origin.nunique() < len(rows):
        yield "the micrograph", origin.to_numpy(object)
    yield "the mean of the image", _read_means(job, particles)


def _read_means(job: JobFolder, particles: Particles) -> FloatArray:
    """Mean of every image, shape (n,)."""
    means = []
    with job.progress(len(particles), "images") as progress:
        for start in range(0, len(particles), _BATCH):
            images = particles.images(slice(start, start + _BATCH))
            means.append(images.mean(axis=(1, 2), dtype=np.float64))
            progress.advance(len(images))
    return np.concatenate(means)
