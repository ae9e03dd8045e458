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
from cryosway.inference import Encoder, EncoderSpec, EncoderView
from cryosway.jobs import require_latent
from cryosway.methods._nearby_maps import NearbyMaps
from cryosway.optics import make_disc
from cryosway.validate import mask_state
from cryosway.volumes import FieldSpec, LatentCurves, NeuralField, NeuralVolume

if TYPE_CHECKING:
    from cryosway.jobs import Job

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
        for name, value in LatentCurves.none().state_dict().items():  # models before these curves
            tensors.setdefault(f"volume.curves.{name}", value)
        tensors.setdefault("volume.gains", torch.ones(len(tensors["volume.amplitude"]), 2))
        signal = tensors["signal"]
        volume = NeuralVolume(
            NeuralField(FieldSpec(**described["field"])),
            tensors["volume.amplitude"],
            tensors["volume.base"],
            LatentCurves(*(tensors[f"volume.curves.{name}"] for name in LatentCurves.NAMES)),
            tensors["volume.gains"],
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
        maps = self.volume.density(torch.from_numpy(np.asarray(z, np.float32)), box).numpy()
        if maps.shape[-1] != self.mask.shape[-1]:
            return maps
        return np.stack([mask_state(each * self.mask.numpy(), self.pixel_size) for each in maps])


def _within(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


@final
class NeuralDecoder(NearbyMaps):
    """Decodes latents by the network."""

    def __init__(self, job: "Job") -> None:
        super().__init__(job, lambda: (self.model.noise, self.model.mask.numpy()))

    @cached_property
    def model(self) -> NeuralModel:
        """The trained networks."""
        return NeuralModel.load(self._job.path)

    def volume(self, z: FloatArray | None) -> Volume:
        """Masked density at latent z, shape (D, D, D)."""
        return np.asarray(self.model.densities(np.atleast_2d(require_latent(z)))[0])


def open_decoder(job: "Job") -> NeuralDecoder:
    """Open the decoder of a neural job."""
    return NeuralDecoder(job)
