"""A coordinate network in Fourier space: the transform of the density at k, given a latent z.

The body is the multilayer perceptron of Zhong et al., Nature Methods 2021: a first layer on the
encoded coordinate, residual layers h → ReLU(h + W h + b), and a last layer.

A density is real, so that its transform obeys V̂(−k) = V̂(k)*. Three ways to give it that symmetry:

- ``fourier``: the network gives real and imaginary part on one half space, and the other half is
  its conjugate. Exact, but nothing makes the two halves meet on the plane between them.
- ``hartley``: the network gives H = Re − Im anywhere; even and odd part of H are Re and −Im.
  Exact and without a seam, for twice the evaluations.
- ``anchored``: V̂(k) = Σ_j a_j(k) exp(−2πi k·r_j / D) with amplitudes a_j that are even in k, since
  the network sees cosines only, of points r_j spread over the molecule. Exact and without a seam
  for one evaluation; and a_j that vary slowly in k are density near r_j.
"""

import warnings
from collections.abc import Iterator
from typing import Annotated, Literal, final

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from cryosway.volumes._layers import Layer, residual_network, split_rows
from cryosway.volumes._positional import Encoding, make_wave_vectors


@final
class FieldSpec(BaseModel):
    """Architecture of a `NeuralField`: all that is needed to build it again.

    Attributes
    ----------
    box
        Image size D of the data, pixels: coordinates are k / D.
    latent_dim
        Length of z; 0 for one map.
    width, layers
        Of the residual layers.
    encoding, encoding_dim, feature_sigma
        See `make_wave_vectors`; encoding_dim is D / 2 by default.
    domain
        How the symmetry of a real density is kept; see the module.
    conditioning
        ``concatenate``: z enters the first layer, as one bias per image. ``modulate``: z scales
        and shifts every layer (Perez et al., AAAI 2018).
    anchors
        Number of points of the ``anchored`` domain.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    box: Annotated[int, Field(ge=4)]
    latent_dim: Annotated[int, Field(ge=0)] = 8
    width: Annotated[int, Field(ge=1)] = 256
    layers: Annotated[int, Field(ge=0)] = 3
    encoding: Encoding = "gaussian"
    encoding_dim: int | None = None
    feature_sigma: Annotated[float, Field(gt=0)] = 0.5
    domain: Literal["fourier", "hartley", "anchored"] = "anchored"
    conditioning: Literal["concatenate", "modulate"] = "modulate"
    anchors: Annotated[int, Field(ge=1)] = 128


@final
class NeuralField(nn.Module):
    """V̂(k; z), in units that the volume around it fixes.

    Parameters
    ----------
    spec
        The architecture.
    generator
        Draws the random parts.
    support
        Shape (M, 3), (x, y, z) in pixels from the centre: points of the ``anchored`` domain; by
        default within a ball of D/4.
    """

    waves: Tensor
    anchor_points: Tensor

    def __init__(
        self,
        spec: FieldSpec,
        generator: torch.Generator | None = None,
        support: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec
        count = spec.encoding_dim or spec.box // 2
        waves = make_wave_vectors(spec.encoding, spec.box, count, spec.feature_sigma, generator)
        self.register_buffer("waves", waves)
        even = spec.domain == "anchored"
        inputs = 3 if spec.encoding == "none" else len(waves) * (1 if even else 2)
        outputs = {"fourier": 2, "hartley": 1, "anchored": spec.anchors}[spec.domain]
        self.first = _linear(inputs, spec.width, generator)
        self.latent = _linear(spec.latent_dim, spec.width, generator, bias=False)
        self.body = nn.ModuleList(
            _linear(spec.width, spec.width, generator) for _ in range(spec.layers)
        )
        self.last = _linear(spec.width, outputs, generator)
        if spec.conditioning == "modulate":
            self.modulation = _Modulation(spec.latent_dim, spec.width, spec.layers, generator)
        if even:
            points = _draw_ball(spec, generator) if support is None else support
            self.register_buffer("anchor_points", points.float())

    def damp_output(self, factor: float) -> None:
        """Scale the last layer, so that the field starts at a share of its usual size."""
        with torch.no_grad():
            self.last.weight.mul_(factor)
            self.last.bias.mul_(factor)

    def forward(self, points: Tensor, z: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Evaluate the field; outside of autocast, which would round the coordinates.

        Parameters
        ----------
        points
            Shape (n, P, 3): k = (x, y, z) in Fourier pixels.
        z
            Shape (n, latent_dim).
        dtype
            Precision of the matrix products; that of the weights by default.

        Returns
        -------
        Shape (n, P, 2): real and imaginary part.
        """
        dtype = self.first.weight.dtype if dtype is None else dtype
        layers = list(self._condition(z, dtype))
        views = [
            torch.cat([self._evaluate(block, own, dtype) for block in blocks], dim=1)
            for blocks, own in split_rows(points, layers)
        ]
        return torch.cat(views)

    def _evaluate(self, points: Tensor, layers: list[Layer], dtype: torch.dtype) -> Tensor:
        """Real and imaginary part (n, P, 2) at points, with the symmetry of the domain."""
        if self.spec.domain == "fourier":
            mates = in_lower_half(points)
            signs = torch.where(mates, -1.0, 1.0)[..., None]
            out = self._run(points * signs, layers, dtype).to(points)
            return torch.stack([out[..., 0], out[..., 1] * signs[..., 0]], dim=-1)
        if self.spec.domain == "hartley":
            here = self._run(points, layers, dtype)[..., 0].to(points)
            there = self._run(-points, layers, dtype)[..., 0].to(points)
            return 0.5 * torch.stack([here + there, there - here], dim=-1)
        amplitudes = self._run(points, layers, dtype)
        phases = points @ (self.anchor_points.T * (-2 * torch.pi / self.spec.box))
        waves = phases.cos().to(amplitudes), phases.sin().to(amplitudes)
        return torch.stack([(amplitudes * wave).sum(-1) for wave in waves], dim=-1).to(points)

    def _run(self, points: Tensor, layers: list[Layer], dtype: torch.dtype) -> Tensor:
        """Output (n, P, outputs) of the network at points."""
        last = self.last.weight, self.last.bias
        return residual_network(self._encode(points, dtype), layers, last)

    def _encode(self, points: Tensor, dtype: torch.dtype) -> Tensor:
        """Features (n, P, F) of points, rounded only when they are made."""
        x = points / self.spec.box
        if self.spec.encoding == "none":
            return (x.abs() if self.spec.domain == "anchored" else x).to(dtype)
        phases = x @ self.waves.T
        if self.spec.domain == "anchored":
            return phases.cos().to(dtype)
        return torch.cat([phases.sin().to(dtype), phases.cos().to(dtype)], dim=-1)

    def _condition(self, z: Tensor, dtype: torch.dtype) -> Iterator[Layer]:
        """Weight and bias of every layer but the last, for latents z."""
        extra = self.latent(z)[:, None]
        layers = [self.first, *self.body]
        if self.spec.conditioning == "concatenate":
            for layer in layers:
                yield layer.weight, layer.bias + extra if layer is self.first else layer.bias
            return
        for layer, scale, shift in zip(layers, *self.modulation(z), strict=True):
            bias = layer.bias + extra if layer is self.first else layer.bias
            # The scale goes into the weights, which are fewer than the rows that they meet.
            weight = layer.weight.to(dtype) * scale.to(dtype).transpose(1, 2)
            yield weight, bias * scale + shift


@final
class _Modulation(nn.Module):
    """Scale 1 + γ(z) and shift β(z) of every layer; both start at γ = β = 0."""

    def __init__(
        self, latent_dim: int, width: int, layers: int, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        self.first = _linear(latent_dim, 64, generator)
        self.second = _linear(64, 64, generator)
        self.heads = nn.Linear(64, 2 * (layers + 1) * width)
        nn.init.zeros_(self.heads.weight)
        nn.init.zeros_(self.heads.bias)
        self._layers = layers + 1

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Scales and shifts, each (layers + 1, n, 1, width)."""
        hidden = nn.functional.silu(self.first(z))
        hidden = nn.functional.silu(self.second(hidden))
        both: Tensor = self.heads(hidden).view(len(z), 2, self._layers, 1, -1)
        both = both.permute(1, 2, 0, 3, 4)
        return 1 + both[0], both[1]


def in_lower_half(points: Tensor) -> Tensor:
    """Which k = (x, y, z) are the Friedel mates: z < 0, or on that plane y < 0, or x < 0."""
    x, y, z = points.unbind(-1)
    return (z < 0) | ((z == 0) & ((y < 0) | ((y == 0) & (x < 0))))


def _linear(
    inputs: int, outputs: int, generator: torch.Generator | None, *, bias: bool = True
) -> nn.Linear:
    """Linear layer with torch's own initial distribution, from a generator of its own."""
    with warnings.catch_warnings():  # of layers without inputs, as those of z where there is none
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        layer = nn.Linear(inputs, outputs, bias=bias)
    bound = max(inputs, 1) ** -0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        if bias:
            layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


def _draw_ball(spec: FieldSpec, generator: torch.Generator | None) -> Tensor:
    drawn = torch.randn(spec.anchors, 3, generator=generator)
    radii = torch.rand(spec.anchors, 1, generator=generator) ** (1 / 3)
    return nn.functional.normalize(drawn, dim=1) * radii * (spec.box / 4)
