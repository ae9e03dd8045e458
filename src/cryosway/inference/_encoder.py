"""From an image to the posterior of its latent: an amortised encoder.

The encoder sees the image as a density: centred, its CTF undone as far as the noise allows (Wiener)
or only its sign (phase flipping), cut to low resolution, and windowed to a disc. It states how the
posterior differs from a starting one, so that an untrained encoder is as good as that.
"""

import math
from typing import Annotated, Literal, final

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from cryosway.optics import Disc, ifft2_half, make_disc
from cryosway.volumes import Slices

_LOG_VARIANCES = (-12.0, 4.0)


@final
class EncoderSpec(BaseModel):
    """Architecture of an `Encoder`.

    Attributes
    ----------
    box
        Size of the images that it sees, pixels: fewer than the data's drop fine shells.
    latent_dim
        Length of z.
    kind
        ``mlp``: residual layers on the pixels of the disc. ``conv``: strided convolutions.
    width, layers
        Of the residual layers, or the channels and number of halvings of the convolutions.
    correction
        ``wiener`` or ``flip``: how the CTF is undone.
    window
        Radius of the disc, in units of half the image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    box: Annotated[int, Field(ge=8)]
    latent_dim: Annotated[int, Field(ge=1)]
    kind: Literal["mlp", "conv"] = "mlp"
    width: Annotated[int, Field(ge=1)] = 256
    layers: Annotated[int, Field(ge=0)] = 3
    correction: Literal["wiener", "flip"] = "wiener"
    window: Annotated[float, Field(gt=0, le=1)] = 0.85


@final
class EncoderView:
    """What an encoder sees of whitened slices: small, corrected, windowed images.

    Parameters
    ----------
    spec
        Of the encoder.
    disc
        Points of the slices.
    signal
        Shape (shells,): signal power per rounded |k|, for the Wiener filter.
    """

    def __init__(self, spec: EncoderSpec, disc: Disc, signal: Tensor) -> None:
        self.spec = spec
        self._disc = make_disc(spec.box, min(disc.radius, spec.box // 2 - 1))
        inside = disc.points.long().square().sum(1) <= self._disc.radius**2
        self._columns = inside.nonzero()[:, 0]
        self._signal = signal[disc.shell[self._columns].clamp(max=len(signal) - 1)].float()
        self.inside = _pixels_inside(spec.box, spec.window)

    @property
    def size(self) -> int:
        """Number of pixels that it gives of each image."""
        return len(self.inside)

    def __call__(self, slices: Slices) -> Tensor:
        """Pixels of the disc, shape (n, size), float32, of about unit variance."""
        values = slices.values[:, self._columns]
        filters = slices.filters[:, self._columns]
        if self.spec.correction == "flip":
            seen = values * filters.sign()
        else:
            # E[signal | y] over the signal's own amplitude: each shell by how well it is known.
            signal = self._signal.to(filters.device)
            seen = values * (filters * signal.sqrt() / (filters.square() * signal + 1))
        images = ifft2_half(self._disc.unpack(seen)).flatten(1)
        pixels: Tensor = images[:, self.inside.to(images.device)]
        # A coefficient of unit power makes pixels of variance P / D⁴, both halves counted.
        return pixels * (self.spec.box**2 / math.sqrt(2 * len(self._columns)))

    def as_images(self, pixels: Tensor) -> Tensor:
        """Put pixels (n, size) back into images (n, 1, box, box)."""
        images = pixels.new_zeros(len(pixels), self.spec.box**2)
        images[:, self.inside.to(pixels.device)] = pixels
        return images.view(-1, 1, self.spec.box, self.spec.box)


@final
class Encoder(nn.Module):
    """q(z | image) = N(start + Δ, …): the posterior's change from a starting one.

    Parameters
    ----------
    spec
        The architecture.
    view
        What it sees.
    """

    def __init__(self, spec: EncoderSpec, view: EncoderView) -> None:
        super().__init__()
        self.spec = spec
        self._view = view
        if spec.kind == "mlp":
            self.trunk: nn.Module = _ResidualTrunk(
                view.size + 2 * spec.latent_dim, spec.width, spec.layers
            )
        else:
            self.trunk = _ConvolutionalTrunk(spec)
        self.head = nn.Linear(spec.width, 2 * spec.latent_dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, pixels: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior of images.

        Parameters
        ----------
        pixels
            Shape (n, size), from an `EncoderView`.
        start
            Shape (n, 2, latent_dim): mean and log variance to start from.

        Returns
        -------
        Mean and log variance, each (n, latent_dim).
        """
        if isinstance(self.trunk, _ConvolutionalTrunk):
            hidden = self.trunk(self._view.as_images(pixels), start.flatten(1))
        else:
            hidden = self.trunk(torch.cat([pixels, start.flatten(1)], dim=1))
        change = self.head(hidden).float().unflatten(1, (2, -1))
        found = start + change
        return found[:, 0], found[:, 1].clamp(*_LOG_VARIANCES)


@final
class _ResidualTrunk(nn.Module):
    def __init__(self, inputs: int, width: int, layers: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.body = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.first(x))
        for layer in self.body:
            hidden = torch.relu(hidden + layer(hidden))
        return hidden


@final
class _ConvolutionalTrunk(nn.Module):
    """Halve the image until it is about 4 pixels wide, doubling the channels."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        steps, channels, size, layers = 0, 16, spec.box, [nn.Conv2d(1, 16, 5, 2, 2), nn.SiLU()]
        size = (size + 1) // 2
        while size > 4 and steps < 5:
            wider = min(2 * channels, spec.width)
            layers += [nn.Conv2d(channels, wider, 3, 2, 1), nn.GroupNorm(4, wider), nn.SiLU()]
            channels, size, steps = wider, (size + 1) // 2, steps + 1
        self.convolutions = nn.Sequential(*layers)
        self.last = nn.Linear(channels * size**2 + 2 * spec.latent_dim, spec.width)

    def forward(self, images: Tensor, start: Tensor) -> Tensor:
        found = self.convolutions(images).flatten(1)
        return torch.relu(self.last(torch.cat([found, start], dim=1)))


def _pixels_inside(box: int, window: float) -> Tensor:
    axis = torch.arange(box) - box // 2
    radius = (axis[:, None] ** 2 + axis**2).double().sqrt().flatten()
    return (radius <= window * box / 2).nonzero()[:, 0]
