"""Where a network starts: consensus, noise, and what a linear fit knows already."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.engine import available_memory_bytes
from cryosway.inference import (
    Consensus,
    GaussianPosterior,
    ImageSource,
    NoiseModel,
)
from cryosway.jobs import Job, open_job
from cryosway.methods._linear.model import LinearModel, load_posterior
from cryosway.optics import shell_power
from cryosway.particles import Particles
from cryosway.volumes import LatentCurves

_MEAN_SHARE = 0.03  # of the mean's power, that the network may add where components have none
_CONTRAST_SD = 0.1
_LEAST_CONTRAST_SD = 0.02


@dataclass(frozen=True, eq=False)
class NeuralStart:
    """What is known before a network is trained.

    Attributes
    ----------
    base
        Shape (1 + K + M, D, D, D): mean, components for latents of unit variance, and maps; or
        none.
    curves
        Amounts of the M maps at a latent.
    gains
        Shape (shells, 2): by how much the shells of the mean, and of the rest, are scaled.
    latents
        Shape (N, 2, k): mean and log variance of every particle's latent.
    amplitude
        Shape (shells,): scale of what the network adds, per rounded |k|.
    signal
        Shape (shells,): power of the mean map.
    mask
        Shape (D, D, D).
    noise
        Shape (G, shells), float64.
    contrast_sd
        Spread of the particles' contrast about 1; 0 where it is not fitted.
    """

    base: Tensor
    curves: LatentCurves
    gains: Tensor
    latents: Tensor
    amplitude: Tensor
    signal: Tensor
    mask: Tensor
    noise: npt.NDArray[np.float64]
    contrast_sd: float

    @property
    def linear(self) -> Tensor:
        """Mean and components, shape (1 + K, D, D, D)."""
        return self.base[: len(self.base) - len(self.curves)]

    def pack(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Tensors and plain values, for a checkpoint."""
        names = ("base", "gains", "latents", "amplitude", "signal", "mask", "noise")
        tensors = {name: getattr(self, name) for name in names}
        contiguous = {
            name: value.contiguous() if isinstance(value, Tensor) else value
            for name, value in tensors.items()
        }
        curves = {f"curves.{name}": value for name, value in self.curves.state_dict().items()}
        return contiguous | curves, {"contrast_sd": self.contrast_sd}

    @classmethod
    def unpack(cls, tensors: Mapping[str, Any], meta: Mapping[str, Any]) -> "NeuralStart":
        """Undo `pack`."""
        names = ("base", "gains", "latents", "amplitude", "signal", "mask")
        return cls(
            **{name: torch.as_tensor(tensors[name]) for name in names},
            curves=LatentCurves(
                *(torch.as_tensor(tensors[f"curves.{name}"]) for name in LatentCurves.NAMES)
            ),
            noise=np.asarray(tensors["noise"], np.float64),
            contrast_sd=float(meta["contrast_sd"]),
        )


def start_from_linear(job: Job, latent_dim: int, *, contrast: bool) -> NeuralStart:
    """Take mean, components, noise and latents of a linear job.

    Parameters
    ----------
    job
        Of `linear`, on the same particles in the same order.
    latent_dim
        Length k of the latents; with more than the job has, the others start at their prior.
    contrast
        Whether contrast is fitted.
    """
    model = LinearModel.load(job.path)
    posterior, _ = load_posterior(job.path)
    kept = min(latent_dim, len(model.variances))
    sd = np.sqrt(model.variances[:kept])
    scaled = model.volumes[1 : 1 + kept] * torch.from_numpy(sd).float()[:, None, None, None]
    base = torch.cat([model.volumes[:1], scaled])
    amplitude, signal = _measure_amplitude(base)
    return NeuralStart(
        base=base,
        curves=LatentCurves.none(),
        gains=torch.ones(len(amplitude), 2),
        latents=start_latents(posterior, sd, latent_dim),
        amplitude=amplitude,
        signal=signal,
        mask=model.mask,
        noise=model.noise,
        contrast_sd=max(_LEAST_CONTRAST_SD, float(posterior.contrast.std())) if contrast else 0.0,
    )


def start_latents(
    posterior: GaussianPosterior, sd: npt.NDArray[np.float64], latent_dim: int
) -> Tensor:
    """Latents (N, 2, k) in units of their prior: those of a posterior, the rest at the prior."""
    kept = len(sd)
    latents = torch.zeros(len(posterior.mean), 2, latent_dim)
    latents[:, 0, :kept] = torch.from_numpy(posterior.mean[:, :kept] / sd)
    variance = np.einsum("nkk->nk", posterior.covariance)[:, :kept] / sd**2
    latents[:, 1, :kept] = torch.from_numpy(np.log(variance))
    return latents


def start_from_consensus(
    consensus: Consensus, count: int, latent_dim: int, *, contrast: bool, with_mean: bool
) -> NeuralStart:
    """Take mean and noise of the consensus; latents at their prior.

    Parameters
    ----------
    count
        Number N of particles.
    with_mean
        Whether the network adds to the mean map, or makes all of it.
    """
    mean = consensus.mean[None]
    shells = mean.shape[-1] // 2
    signal = shell_power(mean, shells)[0]
    return NeuralStart(
        base=mean if with_mean else mean[:0],
        curves=LatentCurves.none(),
        gains=torch.ones(shells, 2),
        latents=torch.zeros(count, 2, latent_dim),
        amplitude=(signal.sqrt() * (0.3 if with_mean else 1.0)),
        signal=signal,
        mask=consensus.mask,
        noise=consensus.noise.power,
        contrast_sd=_CONTRAST_SD if contrast else 0.0,
    )


def open_linear(path: Path, particles: Particles) -> Job:
    """Open a linear job that is to be started from, if it is of these particles."""
    job = open_job(path).main
    if job.info.get("command") != "linear":
        message = f"{path} is a job of {job.info.get('command')}, not of linear: give one of those"
        raise CryoswayError(message)
    if job.status != "finished":
        message = f"the linear job {path} is {job.status}: finish it first"
        raise CryoswayError(message)
    names = job.particles["image_name"].astype(str).tolist()
    if names != particles.source["image_name"].astype(str).tolist():
        message = (
            f"the linear job {path} is of other particles ({len(names)}, here {len(particles)}): "
            "fit one to these, or leave --linear out"
        )
        raise CryoswayError(message)
    return job


def make_source(
    particles: Particles,
    sign: npt.NDArray[Any],
    noise: npt.NDArray[np.float64],
    device: torch.device | str = "cpu",
    *,
    memory_gb: float | None = None,
) -> ImageSource:
    """Whitened particles at full resolution, kept in so many GB where they fit."""
    size = available_memory_bytes() // 4 if memory_gb is None else int(1e9 * memory_gb)
    return ImageSource(
        particles,
        particles.box // 2 - 1,
        sign=sign,
        noise=NoiseModel(noise),
        cache_bytes=size,
        device=device,
    )


def _measure_amplitude(base: Tensor) -> tuple[Tensor, Tensor]:
    shells = base.shape[-1] // 2
    signal = shell_power(base[:1], shells)[0]
    moving = shell_power(base[1:], shells).sum(0) if len(base) > 1 else torch.zeros_like(signal)
    return (moving + _MEAN_SHARE * signal).sqrt(), signal
