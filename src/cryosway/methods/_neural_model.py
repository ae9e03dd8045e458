"""The files of a neural job's model, and the decoder that opens them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.engine import load_tensors, read_json, save_tensors, write_json
from cryosway.inference import (
    Encoder,
    EncoderSpec,
    EncoderView,
    GaussianPosterior,
    ImageSource,
    LatentKernel,
    solve_kernels,
)
from cryosway.methods._neural_start import make_source
from cryosway.optics import make_disc
from cryosway.particles import read_particles
from cryosway.validate import corrected_fsc
from cryosway.volumes import FieldSpec, NeuralField, NeuralVolume

if TYPE_CHECKING:
    from cryosway.jobs import Job

PARTICLES_NAME = "particles.star"
_KERNEL = 1.5  # width of half-maps' kernel, in posterior standard deviations
_ENCODER = "latent."

FloatArray = npt.NDArray[np.float64]
Volume = npt.NDArray[np.float32]


@final
@dataclass(frozen=True, eq=False)
class NeuralModel:
    """Everything that turns a latent into a map, and an image into a latent.

    Attributes
    ----------
    volume
        The decoder, with its linear part.
    encoder
        Its architecture and weights; none for a latent table.
    mask
        Shape (D, D, D), that maps are cut out by.
    signal
        Shape (shells,): power of the mean map, for the encoder's Wiener filter.
    noise
        Shape (G, shells), float64.
    contrast_sd
        Prior spread of the contrast.
    pixel_size
        Å per voxel.
    """

    volume: NeuralVolume
    encoder: Encoder | None
    mask: Tensor
    signal: Tensor
    noise: FloatArray
    contrast_sd: float
    pixel_size: float

    def save(self, folder: Path) -> None:
        """Write model.safetensors and model.json."""
        tensors: dict[str, Any] = {
            f"volume.{name}": value.detach().cpu().contiguous()
            for name, value in self.volume.state_dict().items()
        }
        if self.encoder is not None:
            weights = self.encoder.state_dict().items()
            tensors |= {_ENCODER + name: value.cpu().contiguous() for name, value in weights}
        tensors |= {"mask": self.mask.contiguous(), "signal": self.signal, "noise": self.noise}
        save_tensors(folder / "model.safetensors", tensors, {})
        encoder = None if self.encoder is None else self.encoder.spec.model_dump()
        description = {
            "volume": "NeuralVolume",
            "latent": "LatentTable" if encoder is None else "Encoder",
            "field": self.volume.field.spec.model_dump(),
            "encoder": encoder,
            "contrast_sd": self.contrast_sd,
            "box": self.volume.field.spec.box,
            "pixel_size": self.pixel_size,
        }
        write_json(folder / "model.json", description)

    @classmethod
    def load(cls, folder: Path) -> "NeuralModel":
        """Read model.safetensors and model.json."""
        found = load_tensors(folder / "model.safetensors")[0]
        described = read_json(folder / "model.json")
        tensors = {name: torch.as_tensor(value) for name, value in found.items()}
        signal = tensors["signal"]
        volume = NeuralVolume(
            NeuralField(FieldSpec(**described["field"])),
            tensors["volume.amplitude"],
            tensors["volume.base"],
        )
        volume.load_state_dict(_within(tensors, "volume."))
        encoder = None
        if described["encoder"] is not None:
            spec = EncoderSpec(**described["encoder"])
            box = volume.field.spec.box
            view = EncoderView(spec, make_disc(box, box // 2 - 1), signal)
            encoder = Encoder(spec, view)
            encoder.load_state_dict(_within(tensors, _ENCODER))
        return cls(
            volume=volume.eval(),
            encoder=None if encoder is None else encoder.eval(),
            mask=tensors["mask"],
            signal=signal,
            noise=np.asarray(found["noise"], np.float64),
            contrast_sd=float(described["contrast_sd"]),
            pixel_size=float(described["pixel_size"]),
        )

    def densities(self, z: FloatArray, box: int | None = None) -> npt.NDArray[np.float32]:
        """Masked maps at latents (n, k): (n, box, box, box)."""
        maps = self.volume.density(torch.from_numpy(np.asarray(z, np.float32)), box)
        if maps.shape[-1] == self.mask.shape[-1]:
            maps = maps * self.mask
        return maps.numpy()


def _within(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


@final
class NeuralDecoder:
    """Decodes latents by the network; half-maps come from the particles around.

    The network has seen all particles, so that it has no half-maps. Those given here are
    backprojections of the particles whose latents are near z: free of the network's prior.
    """

    def __init__(self, job: "Job") -> None:
        self._job = job
        self._last: tuple[bytes, tuple[Volume, Volume]] | None = None

    @cached_property
    def model(self) -> NeuralModel:
        """The trained networks."""
        return NeuralModel.load(self._job.path)

    @cached_property
    def _source(self) -> ImageSource:
        particles = read_particles(self._job.path / PARTICLES_NAME, accept_defaults=True)
        sign = self._job.particles["sign"].to_numpy(np.float64)
        return make_source(particles, sign, self.model.noise)

    @cached_property
    def _kernel(self) -> LatentKernel:
        table = self._job.particles
        sd = self._job.latent_sd
        assert sd is not None
        contrast = table["contrast"].to_numpy(np.float64)
        posterior = GaussianPosterior(
            mean=self._job.latents,
            covariance=np.square(sd)[:, :, None] * np.eye(sd.shape[1]),
            contrast=contrast,
            contrast_variance=np.zeros_like(contrast),
            log_likelihood=np.zeros_like(contrast),
        )
        half = torch.from_numpy(table["half"].to_numpy(np.int64) - 1)
        return LatentKernel(posterior, half, (_KERNEL,))

    def volume(self, z: FloatArray | None) -> Volume:
        """Masked density at latent z, shape (D, D, D)."""
        return np.asarray(self.model.densities(np.atleast_2d(_require(z)))[0])

    def half_maps(self, z: FloatArray | None) -> tuple[Volume, Volume]:
        """Unmasked half-maps of the particles around z, not regularised; the last are kept."""
        key = np.asarray(_require(z), np.float64).tobytes()
        if self._last is None or self._last[0] != key:
            equations, _ = self._kernel.accumulate(self._source, _require(z))
            first, second = (solve_kernels(equations, part)[0].numpy() for part in (0, 1))
            self._last = (key, (first, second))
        return self._last[1]

    def fsc(self, z: FloatArray | None) -> FloatArray:
        """Masked, corrected FSC of the half-maps, shape (D // 2,)."""
        first, second = self.half_maps(z)
        return corrected_fsc(first, second, self.model.mask.numpy())["corrected"]

    def n_effective(self, z: FloatArray | None) -> float:
        """Effective number of particles behind the half-maps at z."""
        weights = self._kernel.weights(_require(z))[:, 0]
        return float(weights.sum() ** 2 / max(np.square(weights).sum(), 1e-30))

    def weights(self, z: FloatArray | None) -> FloatArray:
        """Weight of every particle at z, shape (N, 1)."""
        return self._kernel.weights(_require(z))


def _require(z: FloatArray | None) -> FloatArray:
    if z is None:
        msg = "a neural job decodes latents"
        raise ValueError(msg)
    return z


def open_decoder(job: "Job") -> NeuralDecoder:
    """Open the decoder of a neural job."""
    return NeuralDecoder(job)
