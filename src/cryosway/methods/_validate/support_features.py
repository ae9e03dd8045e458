"""Features of volumes: regions in which a state differs from the mean, and who has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.methods._validate.volume_sample import VolumeSample
from cryosway.validate import DifferenceRegion, find_difference_regions

FloatArray = npt.NDArray[np.float64]

_MOST = 2  # features of a volume
_SAME = 0.8  # correlation of features that are one
_EXTRA = 0.5  # of the strong density: what a model has and the map has not
_STRONG = 99.0  # percentile


@final
@dataclass(frozen=True, eq=False)
class Feature:
    """A region of difference of the validated job's volumes.

    Attributes
    ----------
    of
        Which volume has it.
    state
        Place of that state, or None for a map of the user's.
    region
        Where it is.
    density
        Shape (b, b, b): what it changes.
    """

    of: str
    state: int | None
    region: DifferenceRegion
    density: Tensor

    @property
    def weight(self) -> Tensor:
        """Shape (b, b, b), 1 in the region."""
        return torch.from_numpy(self.region.weight)


def list_features(volumes: Mapping[str, Tensor], mean: Tensor, mask: Tensor) -> list[Feature]:
    """List the strongest features of volumes; one that two have alike is listed once.

    Parameters
    ----------
    volumes
        By name, (b, b, b). Names of states begin with ``state``.
    mean
        Shape (b, b, b), which they are compared with.
    mask
        Shape (b, b, b).
    """
    found: list[Feature] = []
    for place, (name, volume) in enumerate(volumes.items()):
        state = place if name.startswith("state ") else None
        difference = volume - mean
        for region in find_difference_regions(difference.numpy(), mask.numpy(), most=_MOST):
            density = difference * torch.from_numpy(region.weight)
            known = state is not None and any(
                abs(correlate(density, one.density)) > _SAME for one in found
            )
            if not known:
                found.append(Feature(name, state, region, density))
    return found


def correlate(a: Tensor, b: Tensor) -> float:
    """Cosine of two volumes, or of two rows of voxels."""
    return float((a * b).sum() / (a.square().sum() * b.square().sum()).sqrt().clamp(min=1e-30))


def measure_amounts(sample: VolumeSample, features: Tensor, weights: Tensor) -> FloatArray:
    """How much of each feature every volume of a sample has, (M, F); 1 for all of it.

    Parameters
    ----------
    sample
        M volumes.
    features
        Shape (F, b, b, b): changes of the mean.
    weights
        Shape (F, b, b, b): their regions.
    """
    along = torch.einsum("rxyz,fxyz,fxyz->rf", sample.basis, weights, features)
    power = features.square().flatten(1).sum(1).clamp(min=1e-30)
    return np.asarray(sample.scores @ (along / power).double().numpy(), np.float64)


def find_extra_density(mean: Tensor, halves: Tensor, mask: Tensor) -> list[dict[str, Any]]:
    """Find density that a model has in all particles, and their maps have not.

    Parameters
    ----------
    mean
        Shape (b, b, b): of the job's volumes.
    halves
        Shape (2, b, b, b): maps of all particles.
    mask
        Shape (b, b, b).

    Returns
    -------
    For each region its ``centre_voxels``, ``voxels`` and by half-set the ``amplitude``: how much of
    the model's density the map has there.
    """
    strong = float(np.percentile(mean[mask > 0.5].numpy(), _STRONG))
    surplus = (mean - halves.mean(0)).clamp(min=0) * mask
    if strong <= 0 or float(surplus.max()) <= _EXTRA * strong:
        return []
    level = _EXTRA * strong / float(surplus.max())
    found = []
    for region in find_difference_regions(surplus.numpy(), mask.numpy(), level=level):
        inside = torch.from_numpy(region.weight) > 0.99
        own = mean[inside]
        power = own.square().sum().clamp(min=1e-30)
        found.append(
            {
                "centre_voxels": region.centre.tolist(),
                "voxels": region.voxels,
                "amplitude": [float((half[inside] * own).sum() / power) for half in halves],
            }
        )
    return found
