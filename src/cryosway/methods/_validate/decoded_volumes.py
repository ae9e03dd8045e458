"""Many volumes of a job at once, small, as its model decodes them: no particles are averaged."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.jobs import Job
from cryosway.methods._linear.model import LinearModel
from cryosway.methods._neural.model import NeuralModel
from cryosway.methods._structural.model import StructuralModel
from cryosway.optics import filter_volumes, resize_volumes

FloatArray = npt.NDArray[np.float64]
Decode = Callable[[FloatArray], Tensor]
_PART = 8


def decode_volumes(
    job: Job, latents: FloatArray, box: int, watch: Callable[[int], None] | None = None
) -> Tensor:
    """Decode the densities at latents, on the scale of the images; not masked.

    A linear model gives mean and components times z (not the kernels, which average images).

    Parameters
    ----------
    job
        With latents.
    latents
        Shape (M, K).
    box
        Voxels a side; fewer than the job's give coarser maps of the same extent, whose Fourier
        values are the same.
    watch
        Told the number of volumes of each part that is done.

    Returns
    -------
    Shape (M, box, box, box), float32.
    """
    decode = _choose_decoder(job, box)
    parts = []
    for start in range(0, len(latents), _PART):
        part = latents[start : start + _PART]
        parts.append(decode(np.asarray(part, np.float64)).float())
        if watch is not None:
            watch(len(part))
    return torch.cat(parts)


def _choose_decoder(job: Job, box: int) -> Decode:
    makers: dict[str, Callable[[Job, int], Decode]] = {
        "linear": _decode_linear,
        "vae": _decode_neural,
        "autodecoder": _decode_neural,
        "structural": _decode_structural,
    }
    return makers.get(str(job.info["command"]), _decode_any)(job, box)


def _decode_linear(job: Job, box: int) -> Decode:
    volumes = resize_volumes(LinearModel.load(job.path).volumes, box)

    def decode(z: FloatArray) -> Tensor:
        amounts = torch.from_numpy(np.column_stack([np.ones(len(z)), z])).float()
        return torch.einsum("nc,cxyz->nxyz", amounts[:, : len(volumes)], volumes)

    return decode


def _decode_neural(job: Job, box: int) -> Decode:
    volume = NeuralModel.load(job.path).volume

    @torch.no_grad()
    def decode(z: FloatArray) -> Tensor:
        return volume.density(torch.from_numpy(z).float(), box)

    return decode


def _decode_structural(job: Job, box: int) -> Decode:
    model = StructuralModel.load(job.path)

    @torch.no_grad()
    def decode(z: FloatArray) -> Tensor:
        shown = filter_volumes(model.views.density(model.beads(z)), model.views.scale)
        return resize_volumes(shown, box)

    return decode


def _decode_any(job: Job, box: int) -> Decode:
    def decode(z: FloatArray) -> Tensor:
        shown: Any = np.stack([job.volume(one) for one in z])
        return resize_volumes(torch.from_numpy(shown), box)

    return decode
