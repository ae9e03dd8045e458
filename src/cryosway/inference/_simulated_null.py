"""Data as they would be without heterogeneity: the consensus seen by the same particles."""

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
    variance a method finds here, it would find in noise alone.

    Parameters
    ----------
    source
        The real data; whitened.
    mean
        Shape (D, D, D): the consensus on the source's box.
    contrast
        Shape (N,): contrast of each particle.
    seed
        Of the noise.
    """

    def __init__(
        self, source: ImageSource, mean: Tensor, contrast: NDArray[np.float64], seed: int
    ) -> None:
        self._source = source
        self._reader = SliceReader(mean[None].to(source.device))
        self._contrast = torch.from_numpy(contrast.astype(np.float32))
        self._seed = seed

    @property
    def radius(self) -> int:
        """Largest |k|."""
        return self._source.radius

    @property
    def device(self) -> torch.device:
        """Where the batches are."""
        return self._source.device

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._source:
            slices = batch.slices
            generator = torch.Generator().manual_seed(self._seed * 1_000_003 + int(batch.index[0]))
            noise = torch.randn(*slices.values.shape, 2, generator=generator) * np.sqrt(0.5)
            clean = torch.view_as_complex(self._reader.read(slices)[..., 0].contiguous())
            contrast = self._contrast[torch.from_numpy(batch.index)][:, None].to(clean.device)
            values = contrast * slices.filters * clean + torch.view_as_complex(noise).to(
                clean.device
            )
            yield Batch(batch.index, replace(slices, values=values), batch.group)
