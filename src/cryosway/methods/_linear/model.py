"""The files of a linear job's model, and the decoder that opens them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.engine import load_tensors, save_tensors, write_json
from cryosway.inference import (
    GaussianPosterior,
    ImageSource,
    LatentKernel,
    NoiseModel,
    ShellMixture,
    solve_kernels,
)
from cryosway.jobs import require_latent
from cryosway.methods._job_files import PARTICLES_NAME
from cryosway.particles import read_particles
from cryosway.validate import corrected_fsc, mask_state

if TYPE_CHECKING:
    from cryosway.jobs import Job


FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Volume = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LinearModel:
    """Everything that turns a latent into a map.

    Attributes
    ----------
    volumes
        Shape (1 + K, D, D, D): mean and components, from all particles.
    half_volumes
        Shape (2, 1 + K, D, D, D): the same from each half-set.
    variances
        Shape (K,), float64.
    mask
        Shape (D, D, D).
    noise
        Shape (G, shells), float64.
    bandwidths
        Shape (B,), float64.
    mixture
        Gains of the B kernels and the linear map, and their regions.
    """

    volumes: Tensor
    half_volumes: Tensor
    variances: FloatArray
    mask: Tensor
    noise: FloatArray
    bandwidths: FloatArray
    mixture: ShellMixture

    def save(self, folder: Path, pixel_size: float) -> None:
        """Write model.safetensors and model.json."""
        save_tensors(
            folder / "model.safetensors",
            {
                "volumes": self.volumes.contiguous(),
                "half_volumes": self.half_volumes.contiguous(),
                "variances": self.variances,
                "mask": self.mask.contiguous(),
                "noise": self.noise,
                "bandwidths": self.bandwidths,
                "gains": self.mixture.gains.contiguous(),
                "regions": self.mixture.regions.contiguous(),
            },
            {},
        )
        architecture = {
            "volume": "BasisGrid",
            "latent": "GaussianPosterior",
            "components": len(self.variances),
            "box": int(self.volumes.shape[-1]),
            "pixel_size": pixel_size,
        }
        write_json(folder / "model.json", architecture)

    @classmethod
    def load(cls, folder: Path) -> "LinearModel":
        """Read model.safetensors."""
        tensors = load_tensors(folder / "model.safetensors")[0]
        mixture = ShellMixture(_tensor(tensors["gains"]), _tensor(tensors["regions"]))
        return cls(
            volumes=_tensor(tensors["volumes"]),
            half_volumes=_tensor(tensors["half_volumes"]),
            variances=np.asarray(tensors["variances"]),
            mask=_tensor(tensors["mask"]),
            noise=np.asarray(tensors["noise"]),
            bandwidths=np.asarray(tensors["bandwidths"]),
            mixture=mixture,
        )


def _tensor(values: Any) -> Tensor:
    return torch.as_tensor(values)


def save_posterior(folder: Path, posterior: GaussianPosterior, half: Tensor) -> None:
    """Write latents.safetensors: posterior means and covariances, contrast, half-sets."""
    save_tensors(
        folder / "latents.safetensors",
        {
            "mean": posterior.mean,
            "covariance": posterior.covariance,
            "contrast": posterior.contrast,
            "contrast_variance": posterior.contrast_variance,
            "log_likelihood": posterior.log_likelihood,
            "half": half,
        },
        {},
    )


def load_posterior(folder: Path) -> tuple[GaussianPosterior, Tensor]:
    """Read latents.safetensors."""
    found = load_tensors(folder / "latents.safetensors")[0]
    names = ("mean", "covariance", "contrast", "contrast_variance", "log_likelihood")
    posterior = GaussianPosterior(*(np.asarray(found[name], np.float64) for name in names))
    return posterior, torch.as_tensor(found["half"])


@dataclass(frozen=True, eq=False)
class LatentMaps:
    """Maps at one latent.

    Attributes
    ----------
    volume
        Shape (D, D, D): masked, every shell and region from the kernels that predict it best.
    half_maps
        Shape (2, D, D, D): unmasked, of the narrowest kernel that counts in the volume.
    n_effective
        Kish's effective number of particles behind the volume, power-weighted over shells.
    """

    volume: Volume
    half_maps: npt.NDArray[np.float32]
    n_effective: float


@final
class KernelDecoder:
    """Decodes latents by kernel-weighted backprojection of the particles around them.

    Parameters
    ----------
    model
        The fitted linear model.
    source
        The particles, whitened.
    posterior, half
        Of the particles.
    """

    def __init__(
        self,
        model: LinearModel,
        source: ImageSource,
        posterior: GaussianPosterior,
        half: Tensor,
    ) -> None:
        self.model = model
        self._source = source
        self._kernel = LatentKernel(posterior, half, tuple(model.bandwidths.tolist()))
        self._last: tuple[bytes, LatentMaps] | None = None

    def candidates(
        self, z: FloatArray, parts: Sequence[int | None] = (0, 1, None)
    ) -> tuple[list[Tensor], FloatArray]:
        """Candidate maps at a latent: those of the B kernels, and the linear map.

        Parameters
        ----------
        z
            Shape (K,).
        parts
            Half-set 0, 1, or None for all particles; each is a pass over its particles.

        Returns
        -------
        For each part (B + 1, D, D, D); and the weights of the particles, shape (N, B).
        """
        z = np.asarray(z, np.float64)
        weights = self._kernel.weights(z)
        return [self._solve_part(z, weights, part) for part in parts], weights

    def _solve_part(self, z: FloatArray, weights: FloatArray, part: int | None) -> Tensor:
        """Candidates of one half-set or of all; no more than one part is held in memory."""
        equations = self._kernel.open_equations(self._source)
        self._kernel.add_half(equations, self._source, weights, part)
        return torch.cat([solve_kernels(equations), self._linear_map(z, part)[None]])

    def _linear_map(self, z: FloatArray, part: int | None) -> Tensor:
        basis = self.model.volumes if part is None else self.model.half_volumes[part]
        amounts = [1.0, *z.tolist()][: len(basis)]  # of latents without components, the mean
        return torch.einsum("c,cxyz->xyz", torch.tensor(amounts), basis)

    def map_without(self, z: FloatArray, left_out: Rows) -> Volume:
        """Make the volume at a latent without some particles: (D, D, D)."""
        weights = self._kernel.weights(z)
        weights[left_out] = 0
        return self._show(self._solve_part(np.asarray(z, np.float64), weights, None))

    def _show(self, candidates: Tensor) -> Volume:
        return mask_state(self.model.mixture.combine(candidates).numpy(), self._source.pixel_size)

    def decode(self, z: FloatArray) -> LatentMaps:
        """Make the maps at a latent; the last one is remembered."""
        key = np.asarray(z, np.float64).tobytes()
        if self._last is None or self._last[0] != key:
            self._last = (key, self._decode(np.asarray(z, np.float64)))
        return self._last[1]

    def _decode(self, z: FloatArray) -> LatentMaps:
        """Solve all kernels for all particles, and for each half-set the one that is shown."""
        mixture = self.model.mixture
        share = mixture.kernel_shares()
        chosen = int(np.argmax(share))
        weights = self._kernel.weights(z)
        equations = self._kernel.open_equations(self._source)
        self._kernel.add_half(equations, self._source, weights, 0)
        first = equations.pick(chosen)
        self._kernel.add_half(equations, self._source, weights, 1)
        second = equations.pick(chosen)
        second.sums -= first.sums
        kernels = solve_kernels(equations)
        del equations
        halves = torch.cat([solve_kernels(first), solve_kernels(second)])
        candidates = torch.cat([kernels, self._linear_map(z, None)[None]])
        kish = np.square(weights.sum(0)) / np.maximum(np.square(weights).sum(0), 1e-30)
        return LatentMaps(
            volume=self._show(candidates),
            half_maps=halves.numpy(),
            n_effective=float(share @ kish),
        )

    # -- what `Job` asks for -------------------------------------------------------------------

    def volume(self, z: FloatArray | None) -> Volume:
        """Density at latent z, shape (D, D, D)."""
        return self.decode(require_latent(z)).volume

    def half_maps(self, z: FloatArray | None) -> tuple[Volume, Volume]:
        """Unmasked half-maps of the kernel that carries most of the volume."""
        first, second = self.decode(require_latent(z)).half_maps
        return first, second

    def fsc(self, z: FloatArray | None) -> FloatArray:
        """Masked, corrected FSC of the half-maps, shape (D // 2,)."""
        first, second = self.half_maps(z)
        return corrected_fsc(first, second, self.model.mask.numpy())["corrected"]

    def n_effective(self, z: FloatArray | None) -> float:
        """Effective number of particles behind the volume at z."""
        return self.decode(require_latent(z)).n_effective

    def weights(self, z: FloatArray | None) -> FloatArray:
        """Weight of every particle in each kernel at z, shape (N, B)."""
        return self._kernel.weights(require_latent(z))


@final
class LazyDecoder:
    """Opens the particles of a linear job when a map is first asked for."""

    def __init__(self, job: "Job") -> None:
        self._job = job

    @cached_property
    def _decoder(self) -> KernelDecoder:
        info = self._job.info
        model = LinearModel.load(self._job.path)
        posterior, half = load_posterior(self._job.path)
        particles = read_particles(self._job.path / PARTICLES_NAME, accept_defaults=True)
        table = self._job.particles
        source = ImageSource(
            particles,
            int(info["radius"]),
            sign=table["sign"].to_numpy(np.float64),
            noise=NoiseModel(model.noise),
        )
        return KernelDecoder(model, source, posterior, half)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decoder, name)


def open_decoder(job: "Job") -> LazyDecoder:
    """Open the decoder of a linear job."""
    return LazyDecoder(job)
