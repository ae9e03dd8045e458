"""What the images of a job say of its latents: likelihoods, and how views are spread."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cryosway.jobs import Job
from cryosway.landscape import (
    LatentDensity,
    LatentEvidence,
    PrincipalAxes,
    deconvolve,
    keep_stage,
    weigh_evidence,
)
from cryosway.report import map_view_density

FloatArray = npt.NDArray[np.floating]
RAREST_VIEW = 0.1
"""Views rarer than this part of an even spread count as if they were this common."""
_BLOCK = 65_536
_CLASSES, _CLASSES_IN_PLANE = 16, 6


def read_evidence(
    job: Job, axes: PrincipalAxes, directions: tuple[int, ...], classes: int = _CLASSES
) -> LatentEvidence:
    """Give the likelihood of each particle along some principal directions.

    Of a linear job the whole covariance of each particle's latent is used and the prior that was
    fitted; of other methods the standard deviations, and the unit prior that they share.

    Parameters
    ----------
    job : Job
        With latents.
    axes : PrincipalAxes
        Of its latents.
    directions : tuple of int
        Numbers of principal directions, from 0.
    classes : int
        Most kinds of uncertainty that are told apart.

    Returns
    -------
    LatentEvidence
        In principal coordinates.
    """
    main = job.main
    turn = axes.directions[list(directions)] / axes.scale
    means = (main.latents - axes.mean) @ turn.T
    covariances = _turn_covariances(main, axes, turn)
    prior = _read_prior(main)
    if prior is None:
        return weigh_evidence(means, covariances, None, classes)
    start = -axes.mean @ turn.T
    return weigh_evidence(means, covariances, (start, (turn * prior) @ turn.T), classes)


def _turn_covariances(job: Job, axes: PrincipalAxes, turn: FloatArray) -> FloatArray:
    """Covariances of the latents along directions, shape (N, d, d)."""
    count = len(job.latents)
    full = _read_tensor(job.path / "latents.safetensors", "covariance")
    if full is not None and len(full) == count:
        turned = np.empty((count, len(turn), len(turn)))
        for start in range(0, count, _BLOCK):
            part = slice(start, start + _BLOCK)
            turned[part] = turn @ full[part] @ turn.T
        return turned
    sd = job.latent_sd
    if sd is None:  # a method that does not say: as if they were known to a tenth of their spread
        sd = np.broadcast_to(0.1 * axes.scale, job.latents.shape)
    return np.asarray(np.einsum("nk,ik,jk->nij", np.square(sd), turn, turn, optimize=True))


def _read_prior(job: Job) -> FloatArray | None:
    """Prior variance of each latent, shape (K,), or None where there was none."""
    if job.latent_sd is None:
        return None
    if job.info.get("command") == "linear":
        variances = _read_tensor(job.path / "model.safetensors", "variances")
        return None if variances is None else np.maximum(variances, 1e-12)
    return np.ones(job.latents.shape[1])


def _read_tensor(path: Path, name: str) -> FloatArray | None:
    """Read one tensor of a file, without the others."""
    from safetensors import safe_open

    if not path.exists():
        return None
    with safe_open(path, framework="np") as file:
        known = name in set(file.keys())
        return np.asarray(file.get_tensor(name), np.float64) if known else None


def measure_density(
    job: Job, axes: PrincipalAxes, directions: tuple[int, ...], *, write: bool = True
) -> LatentDensity:
    """Estimate the density along one principal direction or in the plane of two.

    Parameters
    ----------
    job : Job
        With latents; the answer is kept in its ``checkpoints/``.
    axes : PrincipalAxes
        Of its latents.
    directions : tuple of int
        Numbers of principal directions, from 0.
    write : bool
        Whether the answer may be kept.

    Returns
    -------
    LatentDensity
    """
    classes = _CLASSES_IN_PLANE if len(directions) > 1 else _CLASSES
    evidence = read_evidence(job, axes, directions, classes)
    places = [str(number + 1) for number in directions]

    def make() -> dict[str, Any]:
        found = deconvolve(evidence)
        along = {f"axis{place}": axis for place, axis in zip(places, found.axes, strict=True)}
        orders = np.array(sorted(found.orders.items()))
        return {**along, "shares": found.shares, "draws": found.draws, "orders": orders,
                "left_out": found.left_out}  # fmt: skip

    label = f"density along {' and '.join(places)}"
    kept = keep_stage(job.main.path, label, vars(evidence).values(), make, write=write)
    return LatentDensity(
        tuple(kept[f"axis{place}"] for place in places),
        kept["shares"],
        kept["draws"],
        {int(order): float(weight) for order, weight in kept["orders"]},
        int(kept["left_out"]),
    )


def weigh_views(table: pd.DataFrame) -> FloatArray | None:
    """Weigh particles so that their views count as if they were spread evenly, mean 1.

    Parameters
    ----------
    table : DataFrame
        With columns ``rot`` and ``tilt`` (degrees), where poses are known.

    Returns
    -------
    ndarray, shape (N,), or None where poses are not known
        The inverse density of views around each, no more than ten times that of an even spread.
    """
    if not {"rot", "tilt"} <= set(table):
        return None
    density, longitude, latitude = map_view_density(table["rot"], table["tilt"])
    around = np.deg2rad((table["rot"].to_numpy(float) + 180) % 360 - 180)
    tilt = np.arccos(np.cos(np.deg2rad(table["tilt"].to_numpy(float))))
    row = np.rint((np.pi / 2 - tilt - latitude[0]) / (latitude[1] - latitude[0])).astype(int)
    column = np.rint((around - longitude[0]) / (longitude[1] - longitude[0])).astype(int)
    here = density[np.clip(row, 0, len(latitude) - 1), np.clip(column, 0, len(longitude) - 1)]
    weights = 1 / np.maximum(here, RAREST_VIEW)
    return np.asarray(weights / weights.mean())
