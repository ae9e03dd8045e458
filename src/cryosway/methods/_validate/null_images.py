"""Images as they would be without heterogeneity, written to disk: one map in the same poses."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.inference import ImageSource, NoiseModel
from cryosway.optics import compute_ctf, half_plane_frequencies, ifft2_half
from cryosway.particles import Particles, StackWriter
from cryosway.volumes import SliceReader, Slices

FloatArray = npt.NDArray[np.float64]

_BATCH = 128
_BYTES = 4


@final
@dataclass(frozen=True, eq=False)
class NullImages:
    """One map, seen as the particles were.

    Attributes
    ----------
    particles
        In the poses that a method is given.
    mean
        Shape (D, D, D): the map that every image shows.
    noise
        Spectrum per optics group.
    contrast
        Shape (N,): of each image.
    turn_sd, move_sd
        By how much the true poses differ from those given: radians about each axis of the body,
        box lengths along x and y of the image.
    """

    particles: Particles
    mean: Tensor
    noise: NoiseModel
    contrast: FloatArray
    turn_sd: float
    move_sd: float

    @property
    def bytes_on_disk(self) -> int:
        """Size of a stack."""
        return len(self.particles) * self.particles.box**2 * _BYTES

    def write(self, path: Path, seed: int, watch: Callable[[int], None]) -> Particles:
        """Write a stack, and give the particles with these images; protein is white in them.

        X(k) = a · CTF(k) · exp(−2πi k·t) · V̂(Rᵀ[k, 0]) + noise(k), R and t being off the poses that
        a method is given. A stack that is there already is kept: a seed gives one answer.

        Parameters
        ----------
        path
            The ``.mrcs`` file.
        seed
            Of noise and errors.
        watch
            Told the number of images of each part that is done.
        """
        if not path.exists():
            partial = path.with_suffix(".partial.mrcs")
            self._write(partial, seed, watch)
            partial.replace(path)
        shown = self.particles.with_images(path)
        return shown.with_contrast(np.ones(len(shown), np.int8))

    def _write(self, path: Path, seed: int, watch: Callable[[int], None]) -> None:
        particles, count = self.particles, len(self.particles)
        source = ImageSource(particles, particles.box // 2 - 1)
        rng = np.random.default_rng([seed, 1])
        turns, moves = (
            rng.normal(0, self.turn_sd, (count, 3)),
            rng.normal(0, self.move_sd, (count, 2)),
        )
        true = source.with_corrections(turns, moves)
        reader = SliceReader(self.mean[None])
        generator = torch.Generator().manual_seed(seed)
        with StackWriter(path, particles.box, source.pixel_size, "float32", count) as stack:
            for start in range(0, count, _BATCH):
                rows = torch.arange(start, min(start + _BATCH, count))
                images = self._form(true, reader, rows) + self._draw_noise(source, rows, generator)
                stack.write(images.numpy())
                watch(len(rows))

    def _form(self, true: ImageSource, reader: SliceReader, rows: Tensor) -> Tensor:
        """Clean images (n, D, D)."""
        points = true.points
        empty = torch.zeros(len(rows), len(points), dtype=torch.complex64)
        views = Slices(empty, empty.real, true.rotations[rows], points)
        clean = torch.view_as_complex(reader.read(views)[..., 0].contiguous())
        contrast = torch.from_numpy(self.contrast[rows.numpy()]).float()[:, None]
        filters = contrast * compute_ctf(true.disc.frequencies, true.ctf[rows])
        placed = clean * filters * true.phases(true.moves[rows] - true.shifts_px[rows])
        return ifft2_half(true.disc.unpack(placed))

    def _draw_noise(self, source: ImageSource, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Gaussian noise with the spectra of the images' optics groups, (n, D, D)."""
        box = self.particles.box
        radius = torch.linalg.vector_norm(half_plane_frequencies(box, dtype=torch.float64), dim=-1)
        amplitude = self.noise.amplitude((radius * box).round().long()) / box
        white = torch.randn(len(rows), box, box, generator=generator)
        shaped = torch.fft.rfft2(white) * amplitude[source.group[rows]]
        return torch.fft.irfft2(shaped, s=(box, box))
