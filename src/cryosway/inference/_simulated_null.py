"""Data as they would be without heterogeneity: the consensus seen by the same particles."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway.inference._image_source import Batch, ImageSource
from cryosway.volumes import SliceReader


@final
class SimulatedNull:
    """A stand-in for an `ImageSource`: every particle shows the mean, with fresh noise.

    Poses, CTF, contrast and noise spectrum are those of the real particles, so that whatever
    variance a method finds here, it would find in noise alone. Where poses are in error, so are
    those of the stand-in, by as much.

    Parameters
    ----------
    source
        The real data; whitened.
    mean
        Shape (D, D, D): the consensus on the source's box.
    contrast
        Shape (N,): contrast of each particle.
    seed
        Of the noise, and of the errors.
    turn_sd, move_sd
        Spread of the errors of the poses, as in `PoseErrors`.
    """

    def __init__(
        self,
        source: ImageSource,
        mean: Tensor,
        contrast: NDArray[np.float64],
        seed: int,
        *,
        turn_sd: float = 0.0,
        move_sd: float = 0.0,
    ) -> None:
        self._shown = source  # with the poses that the method is given
        self._reader = SliceReader(mean[None].to(source.device))
        self._contrast = torch.from_numpy(contrast.astype(np.float32))
        self._seed = seed
        rng = np.random.default_rng([seed, 1])
        true = source.with_corrections(
            rng.normal(0, turn_sd, (len(source), 3)), rng.normal(0, move_sd, (len(source), 2))
        )
        self._rotations, self._moves = true.rotations, true.moves

    @property
    def radius(self) -> int:
        """Largest |k|."""
        return self._shown.radius

    @property
    def device(self) -> torch.device:
        """Where the batches are."""
        return self._shown.device

    def __len__(self) -> int:
        return len(self._shown)

    def with_corrections(
        self, turns: NDArray[np.float64], moves: NDArray[np.float64]
    ) -> "SimulatedNull":
        """Give the same images, shown with other poses."""
        other = copy.copy(self)
        other._shown = self._shown.with_corrections(turns, moves)
        return other

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._shown:
            slices, rows = batch.slices, torch.from_numpy(batch.index)
            generator = torch.Generator().manual_seed(self._seed * 1_000_003 + int(batch.index[0]))
            noise = torch.randn(*slices.values.shape, 2, generator=generator) * np.sqrt(0.5)
            true = replace(slices, rotations=self._rotations[rows].to(slices.rotations))
            clean = torch.view_as_complex(self._reader.read(true)[..., 0].contiguous())
            left = self._moves[rows] - self._shown.moves[rows]
            if bool((left != 0).any()):
                clean = clean * self._shown.phases(left).to(clean.device)
            contrast = self._contrast[rows][:, None].to(clean.device)
            values = contrast * slices.filters * clean + torch.view_as_complex(noise).to(
                clean.device
            )
            yield Batch(batch.index, replace(slices, values=values), batch.group)
