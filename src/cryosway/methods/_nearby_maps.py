"""Half-maps at a latent for methods that have none of their own: of the particles around it."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from cryosway.inference import GaussianPosterior, ImageSource, LatentKernel, solve_kernels
from cryosway.jobs import MissingResultError, require_latent
from cryosway.methods._job_files import PARTICLES_NAME
from cryosway.methods._neural.start import make_source
from cryosway.particles import read_particles
from cryosway.validate import corrected_fsc

if TYPE_CHECKING:
    from cryosway.jobs import Job

_KERNEL = 1.5  # width, in posterior standard deviations

FloatArray = npt.NDArray[np.float64]
Volume = npt.NDArray[np.float32]


class NearbyMaps:
    """Half-maps of decoders that have none of their own, as they have seen all particles.

    Backprojections, in half-sets, of the particles whose latents are near a latent: free of what
    the network or atomic model knows; only who is near comes from it.

    Parameters
    ----------
    job
        With latents, contrast and half-sets, and particles.star.
    read
        Gives noise (G, shells) and mask (D, D, D), when they are first needed.
    """

    def __init__(self, job: "Job", read: Callable[[], tuple[FloatArray, Volume]]) -> None:
        self._job, self._read = job, read
        self._last: tuple[bytes, tuple[Volume, Volume]] | None = None

    @cached_property
    def _known(self) -> tuple[FloatArray, Volume]:
        return self._read()

    @cached_property
    def _source(self) -> ImageSource:
        path = self._job.path / PARTICLES_NAME
        if not path.exists():
            message = f"{path} is not there: half-maps need the images of the particles"
            raise MissingResultError(message)
        particles = read_particles(path, accept_defaults=True)
        sign = self._job.particles["sign"].to_numpy(np.float64)
        return make_source(particles, sign, self._known[0])

    @cached_property
    def _kernel(self) -> LatentKernel:
        half = torch.from_numpy(self._job.particles["half"].to_numpy(np.int64) - 1)
        return LatentKernel(table_posterior(self._job), half, (_KERNEL,))

    def half_maps(self, z: FloatArray | None) -> tuple[Volume, Volume]:
        """Unmasked half-maps of the particles around z, not regularised; the last are kept."""
        z = require_latent(z)
        key = np.asarray(z, np.float64).tobytes()
        if self._last is None or self._last[0] != key:
            equations, _ = self._kernel.accumulate(self._source, z)
            first, second = (solve_kernels(equations, part)[0].numpy() for part in (0, 1))
            self._last = (key, (first, second))
        return self._last[1]

    def fsc(self, z: FloatArray | None) -> FloatArray:
        """Masked, corrected FSC of the half-maps, shape (D // 2,)."""
        return corrected_fsc(*self.half_maps(z), self._known[1])["corrected"]

    def n_effective(self, z: FloatArray | None) -> float:
        """Effective number of particles behind the half-maps at z."""
        weights = self.weights(z)[:, 0]
        return float(weights.sum() ** 2 / max(np.square(weights).sum(), 1e-30))

    def weights(self, z: FloatArray | None) -> FloatArray:
        """Weight of every particle at z, shape (N, 1)."""
        return self._kernel.weights(require_latent(z))


def table_posterior(job: "Job") -> GaussianPosterior:
    """Read latents and contrast of a job whose latents are known independently of each other."""
    sd = job.latent_sd
    assert sd is not None
    contrast = job.particles["contrast"].to_numpy(np.float64)
    return GaussianPosterior(
        mean=job.latents,
        covariance=np.square(sd)[:, :, None] * np.eye(sd.shape[1]),
        contrast=contrast,
        contrast_variance=np.zeros_like(contrast),
        log_likelihood=np.zeros_like(contrast),
    )
