"""Decoders from a latent to where beads are.

Every decoder adds to a reference with a linear part, x_j + m_j + Σ_i z_i b_ij, and starts at
nothing added: with m and b zero, at no displacement at all. What it takes for z is an affine
function of the latent, so that latents can be standardised without a change of what they decode to.

``segments``: soft segments of the model, each with a rotation and a shift that z says; turns of
any size keep a segment's shape, where linear displacements would shrink it. ``field``: smooth
functions of the reference position and the chain, mixed by z (a field as in Schwab et al.,
DynaMight, Nature Methods 2024); the number of weights does not grow with the model. ``both``: the
sum of the two. ``mlp``: a network with an output for every bead (Li et al., cryoSTAR, Nature
Methods 2024). ``modes``: the linear part alone, its length along each latent fitted.
"""

from typing import Annotated, Literal, final

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

DecoderKind = Literal["both", "segments", "field", "mlp", "modes"]

_ANGSTROM = 10.0  # outputs of networks are in tens of Å, so that steps of 0.001 move beads
_FINEST, _COARSEST = 8.0, 80.0  # Å, of the waves that positions are encoded by


@final
class DeformationSpec(BaseModel):
    """Architecture of a `Deformation`.

    Attributes
    ----------
    kind
        Which decoder.
    latent_dim
        Length k of z.
    segments
        Number of rigid segments.
    fields
        Number of smooth fields that z mixes.
    width
        Units of the hidden layers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: DecoderKind = "both"
    latent_dim: Annotated[int, Field(ge=1)]
    segments: Annotated[int, Field(ge=1)] = 8
    fields: Annotated[int, Field(ge=1)] = 16
    width: Annotated[int, Field(ge=1)] = 64


@final
class Deformation(nn.Module):
    """Positions of N beads at latents.

    Parameters
    ----------
    spec
        Architecture.
    reference
        Shape (N, 3), Å.
    chains
        Shape (N,), int64: number of each bead's chain.
    mean, base
        Shapes (N, 3) and (k, N, 3), Å: the linear part; none by default.
    parting
        Shape (N,), int64: the segment that each bead is of at first; by position where None.
    generator
        Of the first weights.
    """

    reference: Tensor
    mean: Tensor
    base: Tensor
    centre: Tensor
    stretch: Tensor

    def __init__(
        self,
        spec: DeformationSpec,
        reference: Tensor,
        chains: Tensor,
        *,
        mean: Tensor | None = None,
        base: Tensor | None = None,
        parting: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        count = len(reference)
        self.spec = spec
        seed = int(torch.randint(1 << 31, (1,), generator=generator))
        empty = reference.new_zeros(spec.latent_dim, count, 3)
        self.register_buffer("reference", reference.float().clone())
        self.register_buffer("mean", (empty[0] if mean is None else mean).float().clone())
        self.register_buffer("base", (empty if base is None else base).float().clone())
        self.register_buffer("chains", chains.long().clone())
        self.register_buffer("centre", reference.new_zeros(spec.latent_dim, dtype=torch.float32))
        self.register_buffer("stretch", torch.eye(spec.latent_dim))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.parts = nn.ModuleList(self._make_parts(parting))

    def _make_parts(self, parting: Tensor | None) -> list[nn.Module]:
        spec, x = self.spec, self.reference
        chains = self.get_buffer("chains")
        parts: list[nn.Module] = []
        if spec.kind in ("both", "segments"):
            start = nearest_seeds(x, spec.segments) if parting is None else parting
            parts.append(RigidSegments(spec, x, chains, start))
        if spec.kind in ("both", "field"):
            parts.append(SmoothField(spec, x, chains))
        if spec.kind == "mlp":
            parts.append(FreeBeads(spec, len(x)))
        if spec.kind == "modes":
            parts.append(ModeLengths(self.base))
        return parts

    def forward(self, z: Tensor) -> Tensor:
        """Positions (n, N, 3), Å, at latents (n, k)."""
        z = self.centre + z @ self.stretch.T
        x = self.reference + self.mean + torch.einsum("nk,kja->nja", z, self.base)
        for part in self.parts:
            x = x + part(z)
        return x

    @torch.no_grad()
    def standardise(self, mean: Tensor, root: Tensor) -> None:
        """Decode latents z from now on as mean + root z, shapes (k,) and (k, k), before."""
        self.centre += self.stretch @ mean
        self.stretch.copy_(self.stretch @ root)


@final
class RigidSegments(nn.Module):
    """Displacements of soft segments that turn and shift: Σ_m w_jm (R_m (x_j − c_m) + c_m + t_m).

    R is the Cayley map of its rotation vector: smooth, and the identity at zero.
    """

    centred: Tensor
    first: Tensor

    def __init__(
        self, spec: DeformationSpec, reference: Tensor, chains: Tensor, parting: Tensor
    ) -> None:
        super().__init__()
        one_hot = nn.functional.one_hot(parting, spec.segments).float()
        centres = (one_hot.T @ reference) / one_hot.sum(0).clamp(min=1)[:, None]
        self.register_buffer("first", 4.0 * one_hot)
        self.register_buffer("centres", centres)
        self.features = BeadFeatures(reference, chains, spec.width)
        self.weigh = nn.Linear(spec.width, spec.segments, bias=False)
        nn.init.zeros_(self.weigh.weight)
        self.motion = LatentNetwork(spec.latent_dim, spec.width, 6 * spec.segments)
        nn.init.zeros_(self.motion.last.weight)

    def weights(self) -> Tensor:
        """Shape (N, M): how much each bead belongs to each segment; rows sum to 1."""
        logits: Tensor = self.first + _ANGSTROM * self.weigh(self.features())
        return logits.softmax(-1)

    def forward(self, z: Tensor) -> Tensor:
        """Displacements (n, N, 3), Å, at latents (n, k)."""
        flat: Tensor = self.motion(z)
        motion = flat.view(len(z), -1, 6)
        turn, shift = motion[..., :3], motion[..., 3:]
        rotated = cayley(turn) - torch.eye(3, device=z.device)
        centres = self.get_buffer("centres")
        offset = _ANGSTROM * shift - (rotated @ centres[..., None])[..., 0]
        both = torch.cat([rotated, offset[..., None]], dim=-1).flatten(-2)
        mixed = (self.weights() @ both).view(len(z), -1, 3, 4)
        x = self.features.reference
        moved: Tensor = (mixed[..., :3] @ x[..., None])[..., 0] + mixed[..., 3]
        return moved


@final
class SmoothField(nn.Module):
    """Displacements Σ_m c_m(z) φ_m(x_j): smooth fields φ, mixed by the latent."""

    def __init__(self, spec: DeformationSpec, reference: Tensor, chains: Tensor) -> None:
        super().__init__()
        self.features = BeadFeatures(reference, chains, spec.width)
        self.fields = nn.Linear(spec.width, 3 * spec.fields, bias=False)
        nn.init.zeros_(self.fields.weight)
        self.mix = LatentNetwork(spec.latent_dim, spec.width, spec.fields)

    def forward(self, z: Tensor) -> Tensor:
        """Displacements (n, N, 3), Å, at latents (n, k)."""
        flat: Tensor = self.fields(self.features())
        fields = flat.view(len(flat), -1, 3)
        return _ANGSTROM * torch.einsum("nm,jma->nja", self.mix(z), fields)


@final
class ModeLengths(nn.Module):
    """Displacements Σ_i s_i z_i b_ij: the linear part, longer or shorter along each latent."""

    base: Tensor

    def __init__(self, base: Tensor) -> None:
        super().__init__()
        self.register_buffer("base", base, persistent=False)
        self.change = nn.Parameter(base.new_zeros(len(base)))

    def forward(self, z: Tensor) -> Tensor:
        """Displacements (n, N, 3), Å, at latents (n, k)."""
        return torch.einsum("nk,kja->nja", z * self.change, self.base)


@final
class FreeBeads(nn.Module):
    """Displacements of every bead by itself."""

    def __init__(self, spec: DeformationSpec, count: int) -> None:
        super().__init__()
        self.network = LatentNetwork(spec.latent_dim, spec.width, 3 * count)
        nn.init.zeros_(self.network.last.weight)

    def forward(self, z: Tensor) -> Tensor:
        """Displacements (n, N, 3), Å, at latents (n, k)."""
        flat: Tensor = self.network(z)
        return _ANGSTROM * flat.view(len(z), -1, 3)


@final
class LatentNetwork(nn.Module):
    """A function of the latent: one hidden layer, beside the latent itself and a constant."""

    def __init__(self, latent_dim: int, width: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(latent_dim, width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width + latent_dim + 1, outputs, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        """Shapes (n, k) to (n, outputs)."""
        hidden = nn.functional.silu(self.second(nn.functional.silu(self.first(z))))
        out: Tensor = self.last(torch.cat([hidden, z, torch.ones_like(z[:, :1])], dim=-1))
        return out


@final
class BeadFeatures(nn.Module):
    """Smooth functions of the reference position and the chain, (N, width)."""

    reference: Tensor

    def __init__(self, reference: Tensor, chains: Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer("reference", reference.clone(), persistent=False)
        self.register_buffer("chains", chains, persistent=False)
        directions = torch.randn(width, 3)
        share = torch.linspace(0, 1, width)[:, None]
        lengths = _COARSEST * (_FINEST / _COARSEST) ** share
        self.register_buffer("waves", 2 * torch.pi / lengths * nn.functional.normalize(directions))
        self.chain = nn.Embedding(int(chains.max()) + 1, width)
        self.first = nn.Linear(2 * width, width)
        self.second = nn.Linear(width, width)

    def forward(self) -> Tensor:
        """Features of all beads."""
        angle = self.reference @ self.get_buffer("waves").T
        encoded = torch.cat([angle.sin(), angle.cos()], dim=-1)
        hidden = self.first(encoded) + self.chain(self.get_buffer("chains"))
        out: Tensor = nn.functional.silu(self.second(nn.functional.silu(hidden)))
        return out


def cayley(turn: Tensor) -> Tensor:
    """Rotations (…, 3, 3) of the unit quaternions along (1, turn / 2); the identity at zero."""
    half = torch.cat([torch.ones_like(turn[..., :1]), turn / 2], dim=-1)
    w, x, y, z = nn.functional.normalize(half, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).reshape(*w.shape, 3, 3)


def nearest_seeds(points: Tensor, count: int, rounds: int = 20) -> Tensor:
    """Part points (N, F) into compact groups (k-means from far-apart seeds): (N,), int64.

    Deterministic. Groups may be empty where there are fewer points than groups.
    """
    seeds = points[:1]
    while len(seeds) < min(count, len(points)):
        away = torch.cdist(points, seeds).amin(1)
        seeds = torch.cat([seeds, points[away.argmax()][None]])
    nearest = torch.cdist(points, seeds).argmin(1)
    for _ in range(rounds):
        members = nn.functional.one_hot(nearest, len(seeds)).to(points)
        sums = members.sum(0)[:, None]
        seeds = torch.where(sums > 0, (members.T @ points) / sums.clamp(min=1), seeds)
        nearest = torch.cdist(points, seeds).argmin(1)
    return nearest
