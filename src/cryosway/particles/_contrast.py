"""Is the protein white or dark? Detected from the images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr

from cryosway.particles._particles import Particles
from cryosway.particles._recentre import radius_grid, recentre_and_crop

FloatArray = npt.NDArray[np.float64]

_SMALL_BOX = 48
_RADII = (0.12, 0.16, 0.2, 0.25, 0.3)  # of blobs, as fractions of the box
_ENOUGH = 0.997
_ROWS_PER_READ = 100


@dataclass(frozen=True)
class ContrastEstimate:
    """Which sign the protein has in the stored images.

    Attributes
    ----------
    sign : int
        +1 white, −1 dark, 0 when the images do not tell.
    z : float
        How many standard errors the mean score is from zero, positive for white.
    confidence : float
        1 − the probability of so large a score by chance (two-sided, Student's t).
    images : int
        Number of images looked at.
    """

    sign: int
    z: float
    confidence: float
    images: int

    def describe(self) -> str:
        """Say the result and how sure it is, in a sentence."""
        kind = {1: "white", -1: "dark", 0: "not to be told"}[self.sign]
        return (
            f"protein is {kind}: the images correlate with a blob under their CTF "
            f"{abs(self.z):.1f} standard errors {'above' if self.z >= 0 else 'below'} zero "
            f"({self.images} images, confidence {100 * self.confidence:.1f} %)"
        )


def detect_contrast(particles: Particles, *, sample: int = 1000) -> ContrastEstimate:
    """Detect whether protein is white or dark in the stored images.

    A centred particle, whatever it is, correlates at low resolution with a soft blob. Each image
    is correlated with blobs seen through its own CTF, which is positive at low frequency in
    RELION's sign: a positive mean over the images says that protein is white. The mean is
    measured in units of its standard error, for the blob size that tells most.

    Parameters
    ----------
    particles : Particles
        With CTF; where there are poses, images are first centred by their shifts.
    sample : int
        Look at this many images at most, evenly spaced.

    Returns
    -------
    ContrastEstimate
        The sign; 0 when its confidence is below 99.7 %.

    Notes
    -----
    White noise drops out of the mean; a density gradient of ice or carbon is odd about the
    centre and drops out, too.
    """
    rows = np.unique(np.linspace(0, len(particles) - 1, sample).astype(np.int64))
    scores = np.concatenate([_score_group(particles[part]) for part in _split(particles, rows)])
    z = _best_z(scores)
    confidence = float(1 - 2 * stdtr(max(1, len(scores) - 1), -abs(z)))
    sign = int(np.sign(z)) if confidence >= _ENOUGH else 0
    return ContrastEstimate(sign, z, confidence, len(scores))


def _split(particles: Particles, rows: npt.NDArray[np.int64]) -> Sequence[npt.NDArray[np.int64]]:
    """Group rows by box, in parts small enough to be read at once."""
    boxes = particles.records.boxes[rows]
    parts = []
    for box in np.unique(boxes):
        same = rows[boxes == box]
        parts += [same[i : i + _ROWS_PER_READ] for i in range(0, len(same), _ROWS_PER_READ)]
    return parts


def _score_group(particles: Particles) -> FloatArray:
    """Correlate images with blobs of several sizes under their CTF, shape (n, radii)."""
    size = particles.box
    pixel_size = particles.ctf["pixel_size"].to_numpy()
    shifts = particles.shifts if particles.has_poses else np.zeros((len(particles), 2))
    box = min(_SMALL_BOX, size - size % 2)
    transforms = recentre_and_crop(particles.images(), shifts / pixel_size[:, None], box)
    transforms[:, 0, 0] = 0
    ctf = _evaluate_ctf(particles, box)
    blobs = _transform_blobs(box)
    power = np.mean(np.abs(transforms) ** 2, axis=(1, 2))
    scores = np.einsum("nyx,nyx,ryx->nr", transforms, ctf, blobs, optimize=True).real
    return np.asarray(scores / np.sqrt(power)[:, None].clip(min=1e-30), np.float64)


def _evaluate_ctf(particles: Particles, box: int) -> npt.NDArray[np.float32]:
    """CTF of each particle on the half plane of a Fourier-cropped box, shape (n, box, box//2+1)."""
    from cryosway.optics import CtfParams, compute_ctf, half_plane_frequencies

    table = particles.ctf
    table["pixel_size"] = table["pixel_size"] * particles.box / box
    return compute_ctf(half_plane_frequencies(box), CtfParams.from_table(table)).numpy()


def _transform_blobs(box: int) -> npt.NDArray[np.complex64]:
    """Transform centred Gaussian blobs, conjugated for correlation, the mean removed."""
    radius = radius_grid(box)
    blobs = np.stack([np.exp(-0.5 * (radius / (fraction * box)) ** 2) for fraction in _RADII])
    transforms = np.fft.rfft2(blobs)
    transforms[:, 0, 0] = 0
    norms = np.sqrt(np.sum(np.abs(transforms) ** 2, axis=(1, 2), keepdims=True))
    return np.asarray((transforms / norms).conj(), np.complex64)


def _best_z(scores: FloatArray) -> float:
    """Mean over standard error of the blob size that tells most."""
    count = len(scores)
    if count < 2:
        return 0.0
    errors = scores.std(axis=0, ddof=1) / math.sqrt(count)
    z = scores.mean(axis=0) / np.maximum(errors, 1e-30)
    return float(z[np.argmax(np.abs(z))])
