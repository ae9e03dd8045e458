"""Where the fit of a mixture begins: from k-means, or from a smaller mixture."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cryosway.landscape._evidence import LatentEvidence

if TYPE_CHECKING:
    from cryosway.landscape._mixture import Mixture

FloatArray = NDArray[np.floating]
START_AT_MOST = 10_000
"""Starts are found on an even sample of so many particles."""


def take_sample(evidence: LatentEvidence) -> LatentEvidence:
    """Give an even sample of the particles."""
    return evidence.take(slice(None, None, max(1, -(-len(evidence) // START_AT_MOST))))


def group_points(
    points: FloatArray, count: int, error: FloatArray, seed: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Group points by k-means.

    Parameters
    ----------
    points : ndarray, shape (n, d)
        Seen with errors.
    count : int
        Number of groups K.
    error : ndarray, shape (d, d)
        Typical covariance of the errors.
    seed : int
        With another seed, other groups.

    Returns
    -------
    tuple of ndarray, shapes (K,), (K, d) and (K, d, d)
        Shares, centres, and covariances without the errors.
    """
    from sklearn.cluster import KMeans

    found = KMeans(count, n_init=1, random_state=seed).fit(points)
    covariances = np.empty((count, *error.shape))
    for number in range(count):
        members = points[found.labels_ == number]
        spread = np.cov(members.T).reshape(error.shape) if len(members) > len(error) else error
        covariances[number] = _floor(spread - error, 0.25 * error)
    shares = np.bincount(found.labels_, minlength=count) + 1.0
    return shares / shares.sum(), found.cluster_centers_, covariances


def split_components(sample: LatentEvidence, mixture: "Mixture", seed: int) -> Iterator["Mixture"]:
    """Split each component of a mixture in two, one at a time.

    K-means overlooks a rare state beside large ones, and a component that is wide enough takes it
    in with whatever else lies apart; within that component it stands out.

    Parameters
    ----------
    sample : LatentEvidence
        Particles to look at.
    mixture : Mixture
        Fitted, with K components; each answer has one more.
    seed : int
        Of k-means.
    """
    error = np.diag(sample.typical_sd**2)
    members_of = mixture.assign(sample).argmax(axis=1)
    for number in range(len(mixture)):
        members = sample.centres[members_of == number]
        if len(members) < 4 * (sample.size + 1):
            continue
        parts, centres, covariances = group_points(members, 2, error, seed)
        kept = np.arange(len(mixture)) != number
        yield replace(
            mixture,
            shares=np.concatenate([mixture.shares[kept], mixture.shares[number] * parts]),
            centres=np.concatenate([mixture.centres[kept], centres]),
            covariances=np.concatenate([mixture.covariances[kept], covariances]),
        )


def _floor(covariance: FloatArray, least: FloatArray) -> FloatArray:
    """Raise the eigenvalues of a covariance, in units of another, to 1 at least."""
    root = np.sqrt(np.diag(least))
    values, axes = np.linalg.eigh(covariance / np.outer(root, root))
    return np.asarray((axes * np.maximum(values, 1.0) @ axes.T) * np.outer(root, root))
