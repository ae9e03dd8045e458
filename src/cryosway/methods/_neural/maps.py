"""What the maps of a linear job show beyond its components, as a base for a network."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from cryosway.engine import JobFolder
from cryosway.jobs import Job
from cryosway.landscape import choose_particles
from cryosway.methods._held_out import MOST_PARTICLES, Rows, choose_rows
from cryosway.methods._linear.model import open_decoder
from cryosway.methods._neural.start import NeuralStart
from cryosway.volumes import LatentCurves

FloatArray = npt.NDArray[np.float64]
Volumes = npt.NDArray[np.float32]

_MOST_BYTES = 1 << 30  # of all maps
_MOST_DIRECTIONS = 24
_ENERGY = 0.995
_EVERY = 8  # maps, a checkpoint


def add_maps(
    job: JobFolder, linear: Job, start: NeuralStart, count: int, left_out: Rows, seed: int
) -> NeuralStart:
    """Let a network start from the maps of a linear job, not from its components alone.

    At some latents, what the kernels' maps show beyond mean and components is compressed to its
    principal directions, whose amounts become smooth functions of the latent. Components are linear
    in the latent and as few as noise allows; maps are neither, and are what `linear` shows.

    Parameters
    ----------
    job
        Keeps the maps until all are made.
    linear
        Of `linear`.
    start
        Of its components.
    count
        Latents; none leave the start as it is.
    left_out
        Rows of particles that are to be judged on, and must not be in the maps.
    """
    box, components = start.base.shape[-1], len(start.base) - 1
    trained = np.setdiff1d(np.arange(len(start.latents)), left_out)
    count = min(count, _MOST_BYTES // (4 * box**3), len(trained))
    if not components or count < components + 2:
        return start
    mean, log_variance = start.latents[:, :, :components].double().unbind(1)
    scales = (0.5 * log_variance.mean(0)).exp().numpy()
    trained = trained[choose_rows(len(trained), MOST_PARTICLES, seed)]
    chosen = choose_particles((mean.numpy() / scales)[trained], count, seed=seed)
    anchors = mean.numpy()[trained[chosen]]
    volumes, amounts = _compress(_map_anchors(job, linear, start, anchors, trained))
    return replace(
        start,
        base=torch.cat([start.base, torch.from_numpy(volumes)]),
        curves=LatentCurves.fit(anchors, scales, amounts),
    )


def _map_anchors(
    job: JobFolder, linear: Job, start: NeuralStart, anchors: FloatArray, rows: Rows
) -> Volumes:
    """Make maps at the anchors, from some particles, less mean and components: (A, D, D, D)."""
    decoder = open_decoder(linear)
    sd = np.sqrt(decoder.model.variances)
    others = np.setdiff1d(np.arange(len(start.latents)), rows)
    kept = job.load_checkpoint("maps")
    maps = [] if kept is None else [*np.asarray(kept[0]["maps"])]
    progress = job.progress(len(anchors), "maps of linear", done=len(maps))
    for z in anchors[len(maps) :]:
        whole = np.zeros(len(sd))
        whole[: len(z)] = z
        amounts = torch.tensor([1.0, *z], dtype=torch.float32)
        known = torch.einsum("c,cxyz->xyz", amounts, start.base).numpy()
        maps.append(decoder.map_without(whole * sd, others) - known)
        progress.advance(1)
        if len(maps) % _EVERY == 0:
            job.save_checkpoint("maps", {"maps": np.stack(maps)})
    return np.stack(maps)


def _compress(maps: Volumes) -> tuple[Volumes, FloatArray]:
    """Give M principal directions (M, D, D, D), for amounts of unit size, and amounts (A, M)."""
    left, sizes, right = np.linalg.svd(maps.reshape(len(maps), -1), full_matrices=False)
    share = np.cumsum(np.square(sizes)) / max(float(np.square(sizes).sum()), 1e-30)
    most = min(1 + int(np.searchsorted(share, _ENERGY)), _MOST_DIRECTIONS, len(maps))
    unit = np.sqrt(len(maps))
    volumes = (right[:most] * sizes[:most, None] / unit).astype(np.float32)
    return volumes.reshape(most, *maps.shape[1:]), left[:, :most].astype(np.float64) * unit
