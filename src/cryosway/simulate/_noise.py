"""Coloured noise: a radial spectrum, part of it shaped by each image's CTF²."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.optics import half_plane_frequencies

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NoiseSpectrum:
    """Noise power at spatial frequencies (1/Å), in any unit; constant beyond the last."""

    frequency_per_angstrom: FloatArray
    power: FloatArray

    def evaluate(self, s: FloatArray) -> FloatArray:
        """Interpolate the power at frequencies of any shape, 1/Å."""
        return np.interp(s, self.frequency_per_angstrom, self.power)


def builtin_spectrum() -> NoiseSpectrum:
    """Give a spectrum typical of real backgrounds: 1 + 4 / (1 + (40 Å · s)²)^1.5.

    At 30–80 Å it is 2–4 times that at high frequency, as measured on real stacks.
    """
    s = np.linspace(0, 0.5, 501)
    return NoiseSpectrum(s, 1 + 4 / (1 + (40 * s) ** 2) ** 1.5)


def read_spectrum(path: Path, entry: str | None = None) -> NoiseSpectrum:
    """Read a spectrum from JSON: {name: {freq_1_per_A: […], psd_bg or psd_all: […]}}.

    Parameters
    ----------
    path
        The JSON file.
    entry
        The name of the spectrum; the first that has a background where None.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path}: cannot be read as a JSON file of noise spectra ({error})"
        raise CryoswayError(msg) from error
    name = entry or next((key for key, value in data.items() if "psd_bg" in value), None)
    if name not in data:
        msg = f"{path}: has no spectrum {name!r}; it has {', '.join(data)}"
        raise CryoswayError(msg)
    record = data[name]
    power = np.asarray(record.get("psd_bg", record.get("psd_all", [])), np.float64)
    frequency = np.asarray(record.get("freq_1_per_A", []), np.float64)
    if not power.size or power.shape != frequency.shape:
        msg = f"{path}: spectrum {name!r} needs lists freq_1_per_A and psd_bg of one length"
        raise CryoswayError(msg)
    good = np.isfinite(power) & (power > 0)
    return NoiseSpectrum(frequency[good], power[good])


@dataclass(frozen=True, eq=False)
class NoiseModel:
    """Power of the noise of each image on the half plane, relative to white noise of variance 1.

    P(k) = S(|k|) · (1 − f(|k|) + f(|k|) · CTF²(k) / ⟨CTF²⟩(|k|)), where f is the share of the
    spectrum S above its floor (times the ice fraction): a white detector part plus an ice part
    shaped by CTF², which sum to S on average.
    """

    spectrum: Tensor
    ice_share: Tensor
    mean_ctf_squared: Tensor

    def shape(self, white: Tensor, ctf: Tensor) -> Tensor:
        """Colour half planes of white noise (B, D, D//2+1) of images with the given CTF."""
        ice = ctf.square() / self.mean_ctf_squared
        power = self.spectrum * (1 - self.ice_share + self.ice_share * ice)
        return white * power.sqrt()


def build_noise_model(
    spectrum: NoiseSpectrum, box: int, pixel_size: float, ctf_sample: Tensor, ice_fraction: float
) -> NoiseModel:
    """Sample a spectrum on the half plane, scaled to a mean variance of 1 per pixel.

    Parameters
    ----------
    spectrum
        Of the noise.
    box, pixel_size
        Pixels; Å per pixel.
    ctf_sample
        Shape (M, D, D//2+1): CTFs whose radial mean square gives ⟨CTF²⟩.
    ice_fraction
        Share of the excess over the white floor that is shaped by CTF².
    """
    radius = torch.linalg.vector_norm(half_plane_frequencies(box, dtype=torch.float64), dim=-1)
    power = spectrum.evaluate(radius.numpy() / pixel_size)
    floor = power[(radius <= 0.5).numpy()].min()
    share = ice_fraction * (1 - np.minimum(floor / power, 1.0))
    weights = np.full(power.shape, 2.0)
    weights[:, [0, -1]] = 1.0
    power = power / np.average(power, weights=weights)
    return NoiseModel(
        torch.from_numpy(power).float(),
        torch.from_numpy(share).float(),
        _average_radially(ctf_sample.double().square().mean(dim=0), radius).float(),
    )


def _average_radially(plane: Tensor, radius: Tensor) -> Tensor:
    """Replace every value by the mean over its ring of one pixel's width, interpolated."""
    box = plane.shape[0]
    position = radius * box
    low = position.floor().long()
    weight = position - low
    size = int(low.max()) + 2
    total = torch.zeros(size, dtype=plane.dtype)
    count = torch.zeros(size, dtype=plane.dtype)
    for index, share in ((low, 1 - weight), (low + 1, weight)):
        total.index_add_(0, index.flatten(), (share * plane).flatten())
        count.index_add_(0, index.flatten(), share.flatten())
    ring = total / count.clamp_min(1e-12)
    return torch.clamp_min((1 - weight) * ring[low] + weight * ring[low + 1], 1e-12)
