"""What the images alone say of each particle's latent, without the prior of the method."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryosway.landscape._clusters import assign_nearest

FloatArray = NDArray[np.floating]
IntArray = NDArray[np.int64]
CLASSES = 16
"""Particles are told apart by so many kinds of uncertainty."""
_LEAST_KNOWN = 0.02  # of the prior's precision: less than this is taken for it
_FIT_AT_MOST = 20_000


@dataclass(frozen=True, eq=False)
class LatentEvidence:
    """A Gaussian likelihood of every particle's latent: p(image | z) ∝ N(centre; z, covariance).

    Particles are put into classes of like covariance, so that a million cost no more memory than
    their centres.

    Attributes
    ----------
    centres : ndarray, shape (N, d)
        Where the likelihood is highest.
    classes : ndarray, shape (N,), int
        Class of each particle, from 0.
    covariances : ndarray, shape (C, d, d)
        Of each class.
    """

    centres: FloatArray
    classes: IntArray
    covariances: FloatArray

    def __len__(self) -> int:
        return len(self.centres)

    @property
    def size(self) -> int:
        """Number of coordinates d."""
        return self.centres.shape[1]

    @property
    def typical_sd(self) -> FloatArray:
        """Root of the median variance of a particle along each coordinate, shape (d,)."""
        variances = np.einsum("cdd->cd", self.covariances)[self.classes]
        return np.asarray(np.sqrt(np.median(variances, axis=0)))

    def take(self, rows: IntArray | slice) -> "LatentEvidence":
        """Give the evidence of some particles."""
        return LatentEvidence(self.centres[rows], self.classes[rows], self.covariances)


def weigh_evidence(
    means: FloatArray,
    covariances: FloatArray,
    prior: tuple[FloatArray, FloatArray] | None = None,
    classes: int = CLASSES,
) -> LatentEvidence:
    """Divide each posterior by the prior that made it.

    A posterior mean is drawn towards the prior's, the more so the less its image says; a density of
    posterior means is narrower than that of the molecules. With Λ = C⁻¹ − P⁻¹, likelihoods have
    covariance Λ⁻¹ and centre Λ⁻¹ (C⁻¹ m − P⁻¹ m₀).

    Parameters
    ----------
    means : ndarray, shape (N, d)
        Posterior means m.
    covariances : ndarray, shape (N, d, d) or (N, d)
        Posterior covariances C, or their diagonals.
    prior : tuple of ndarray, shapes (d,) and (d, d), optional
        Mean m₀ and covariance P of the method's prior; none where the latents had none.
    classes : int
        Most kinds of covariance.

    Returns
    -------
    LatentEvidence
    """
    size = means.shape[1]
    if covariances.ndim == 2:
        covariances = covariances[:, :, None] * np.eye(size)
    labels, typical = _classify(covariances, classes)
    if prior is None:
        return LatentEvidence(np.asarray(means, np.float64), labels, typical)
    start, spread = prior
    outer = np.linalg.inv(spread)
    inner = np.linalg.inv(typical)
    widths = np.stack([_invert_difference(one, outer) for one in inner])
    pulls = np.einsum("nij,nj->ni", inner[labels], means) - outer @ start
    return LatentEvidence(np.einsum("nij,nj->ni", widths[labels], pulls), labels, widths)


def _invert_difference(precision: FloatArray, outer: FloatArray) -> FloatArray:
    """Invert a posterior's precision less the prior's, which is no less than a trifle of it."""
    root = np.linalg.cholesky(outer)
    relative = np.linalg.solve(root, np.linalg.solve(root, precision - outer).T)
    values, axes = np.linalg.eigh(0.5 * (relative + relative.T))
    turned = root @ axes
    known = turned * np.maximum(values, _LEAST_KNOWN) @ turned.T
    return np.asarray(np.linalg.inv(known))


def _classify(covariances: FloatArray, classes: int) -> tuple[IntArray, FloatArray]:
    """Group covariances (N, d, d) by k-means of their logarithmic Cholesky factors.

    Returns
    -------
    Labels (N,), and the mean covariance of each class (C, d, d).
    """
    from sklearn.cluster import KMeans

    features = _describe(covariances)
    sample = features[:: max(1, -(-len(features) // _FIT_AT_MOST))]
    count = min(classes, len(np.unique(sample.round(6), axis=0)))
    if count == 1:
        labels = np.zeros(len(features), np.int64)
    else:
        centres = KMeans(count, n_init=1, random_state=0).fit(sample).cluster_centers_
        labels = assign_nearest(features, centres)
    there, labels = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(there), *covariances.shape[1:]))
    np.add.at(sums, labels, covariances)
    return labels, sums / np.bincount(labels)[:, None, None]


def _describe(covariances: FloatArray) -> FloatArray:
    """Give numbers that are alike where covariances are, shape (N, d (d + 1) / 2)."""
    factors = np.linalg.cholesky(covariances)
    size = factors.shape[1]
    spread = np.einsum("ndd->nd", factors)
    rows, columns = np.tril_indices(size, -1)
    return np.concatenate([np.log(spread), factors[:, rows, columns] / spread[:, rows]], axis=1)
