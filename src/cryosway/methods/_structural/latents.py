"""Latents of images under an atomic model that is fixed: their posterior, found image by image."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.inference import ImageSource
from cryosway.jobs import Job
from cryosway.methods._structural.composition import CompositionFit
from cryosway.methods._structural.model import StructuralModel
from cryosway.methods._structural.posterior import UnknownPosterior, step_to_posterior
from cryosway.volumes import Slices

Rows = npt.NDArray[np.int64]

COARSE = 10.5  # Å: shells in which large motions are looked for first
CONTRAST_SD = 0.1  # prior spread of every particle's contrast, where it is fitted
_ROUNDS = 3  # in coarse shells, and in all
_NUMBERS = 1 << 21  # of all derivatives that are held at once


@final
class ModelViews:
    """What a model at a latent looks like in images, on their scale and without CTF.

    Parameters
    ----------
    model
        Decoder, density and scale.
    source
        The images that it is compared with.
    """

    def __init__(self, model: StructuralModel, source: ImageSource) -> None:
        self._deformation = copy.deepcopy(model.deformation).to(source.device)
        self._views = copy.deepcopy(model.views).to(source.device)
        self._composition = copy.deepcopy(model.composition)
        if self._composition is not None:
            self._composition.to(source.device).eval()
        self.shell = source.disc.shell.to(source.device)
        self.latent_dim = model.deformation.spec.latent_dim
        self.coarse_shell = round(source.particles.box * source.pixel_size / COARSE)

    def __call__(self, slices: Slices, z: Tensor, present: Tensor | None = None) -> Tensor:
        """Give views (n, P, 2) at latents (n, k)."""
        return self.of_beads(slices, self.beads(z), present)

    def beads(self, z: Tensor) -> Tensor:
        """Beads (n, N, 3), Å, at latents (n, k)."""
        found: Tensor = self._deformation(z)
        return found

    def of_beads(self, slices: Slices, beads: Tensor, present: Tensor | None = None) -> Tensor:
        """Give views (n, P, 2) of beads (n, N, 3), or of (N, 3) in all images.

        `present` (n, G) says how far each group is there, where some may be missing.
        """
        many = beads.expand(len(slices.values), *beads.shape[-2:])
        factors = None
        if present is not None:
            assert self._composition is not None
            factors = self._composition.spread(present)
        found = self._views.bare(slices, many, present=factors)
        return found * self._views.scale[self.shell][:, None]

    def compose(self, slices: Slices, z: Tensor, contrast_sd: float) -> CompositionFit | None:
        """Find which groups are there in images at latents (n, k); None where all always are."""
        composition = self._composition
        if composition is None:
            return None
        bare = composition.see(self._views, slices, self.beads(z))
        return composition.explain(bare, slices, self._views.scale[self.shell], contrast_sd)


@final
@dataclass(frozen=True, eq=False)
class Placed:
    """What n images say of their particles under a model.

    Attributes
    ----------
    latents
        Their posterior.
    present
        Shape (n, G): probability that each group that may be missing is there; None if none may.
    """

    latents: UnknownPosterior
    present: Tensor | None


def contrast_spread(job: Job) -> float:
    """Prior spread of the contrast that a job's model was fitted with; 0: fixed."""
    if "contrast_sd" in job.info:  # particles that were encoded
        return float(job.info["contrast_sd"])
    return CONTRAST_SD if job.info["config"]["contrast"] else 0.0


def restrict(slices: Slices, use: Tensor) -> Slices:
    """Make the other points of images say nothing; `use` is (P,), 0 or 1."""
    return Slices(slices.values * use, slices.filters * use, slices.rotations, slices.points)


@torch.no_grad()
def infer_latents(
    views: ModelViews, slices: Slices, contrast_sd: float, use: Tensor | None = None
) -> Placed:
    """Infer the latents of n images, from coarse shells first, where motions are large.

    Parameters
    ----------
    views
        Of the model.
    slices
        Whitened images.
    contrast_sd
        Prior spread of the contrast; 0 fixes it at 1.
    use
        Shape (P,), 0 or 1: the points that are looked at; all by default.
    """
    used = torch.ones_like(slices.filters[0]) if use is None else use
    z = slices.filters.new_zeros(len(slices.values), views.latent_dim)
    for points in (used * (views.shell <= views.coarse_shell), used):
        seen = restrict(slices, points)
        for _ in range(_ROUNDS):
            found = _step(views, seen, z, contrast_sd)
            z = found.latents.mean
    return found


def _step(views: ModelViews, seen: Slices, z: Tensor, contrast_sd: float) -> Placed:
    """Go one step from latents (n, k), with what is present where they are."""
    composed = views.compose(seen, z, contrast_sd)
    present = None if composed is None else composed.present

    def show(latents: Tensor) -> Tensor:
        return views(seen, latents, present) * seen.filters[..., None]

    prior = torch.ones(views.latent_dim, device=z.device)
    data = torch.view_as_real(seen.values)
    return Placed(step_to_posterior(show, data, z, prior, contrast_sd), present)


def read_parts(source: ImageSource, rows: Rows, latent_dim: int) -> Iterator[tuple[Rows, Slices]]:
    """Read images a few at a time, so that derivatives by their latents fit into caches."""
    size = max(1, _NUMBERS // (2 * len(source.points) * (latent_dim + 1)))
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        yield part, source.read(part).slices


def infer_rows(
    views: ModelViews,
    source: ImageSource,
    rows: Rows,
    contrast_sd: float,
    watch: Callable[[int], None] | None = None,
) -> Tensor:
    """Infer the latents (n, k) of the images in `rows`, in their order: posterior means."""
    found = [torch.zeros(0, views.latent_dim)]
    for part, slices in read_parts(source, rows, views.latent_dim):
        found.append(infer_latents(views, slices, contrast_sd).latents.mean.cpu())
        if watch is not None:
            watch(len(part))
    return torch.cat(found)
