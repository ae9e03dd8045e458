"""Particles as whitened Fourier slices, streamed in batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.inference._packed_images import BYTES_PER_POINT, PackedImages, choose_home
from cryosway.inference._particle_tables import rotate_by
from cryosway.optics import CtfParams, compute_ctf, fft2_half, make_disc
from cryosway.particles import Particles
from cryosway.volumes import Slices

_BATCH_BYTES = 48 << 20


@dataclass(frozen=True, eq=False)
class Batch:
    """Some images: which they are, their data, and their optics group (0, 1, …)."""

    index: NDArray[np.int64]
    slices: Slices
    group: Tensor


@dataclass(frozen=True, eq=False)
class NoiseModel:
    """Noise power of the images' transforms per optics group and rounded shell.

    Attributes
    ----------
    power
        Shape (G, shells), float64: E|noise(k)|² of the unnormalised transform.
    """

    power: NDArray[np.float64]

    def amplitude(self, shell: Tensor) -> Tensor:
        """√power at the given shells, shape (G, P), float32."""
        root = torch.from_numpy(np.sqrt(self.power)).to(torch.float32)
        return root[:, shell.clamp(max=root.shape[1] - 1)]


@final
class ImageSource:
    """Streams particles as `Slices` on a disc, centred and, given a noise model, whitened.

    Images are read and transformed batch by batch; where the whole set fits on the GPU that
    computes, or in `cache_bytes` of the host's memory, its packed coefficients are kept, and later
    passes cost no reading.

    Parameters
    ----------
    particles
        With poses.
    radius
        Largest |k|, Fourier pixels, at most D/2 − 1.
    sign
        +1 where the protein is white, −1 where it is dark; scalar or shape (N,).
    band
        Largest |k| of the data in use, on the grid of `radius`; as far as that by default.
    noise
        The whitening; none leaves the data as they are.
    cache_bytes
        Memory of the host to spend on keeping the data between passes.

    Attributes
    ----------
    radius
        As given: the largest |k| on the common grid, that of the coarsest pixel.
    band
        Largest |k| of the data in use, on the common grid.
    disc
        The points in use of each image; fewer where a finer pixel would reach beyond `radius`.
    rotations
        Shape (N, 3, 3), float32: of the views, on the common grid.
    moves
        Shape (N, 2), float64, pixels: where the content has been found, beside the given shifts.
    """

    def __init__(
        self,
        particles: Particles,
        radius: int,
        *,
        sign: float | NDArray[np.number[Any]] = 1.0,
        band: int | None = None,
        noise: NoiseModel | None = None,
        cache_bytes: int = 1 << 29,
        device: torch.device | str = "cpu",
    ) -> None:
        if particles.box % 2:
            msg = (
                f"the images have an odd box of {particles.box} px: run cryosway prepare with an "
                "even --box first"
            )
            raise CryoswayError(msg)
        self.particles = particles
        self.device = torch.device(device)
        self.radius = radius
        self.noise = noise
        self.signs = np.broadcast_to(np.asarray(sign, np.float32), (len(particles),))
        table = particles.ctf
        codes, self.groups = table["optics_group"].factorize(sort=True)
        self.group = torch.from_numpy(np.asarray(codes, np.int64))
        self.ctf = CtfParams.from_table(table)
        pixel_size = table["pixel_size"].to_numpy(np.float64)
        self.pixel_size = float(np.max(pixel_size))
        # A finer pixel reaches higher frequencies: its k are longer on the common grid.
        self._scale = self.pixel_size / pixel_size
        self.band = radius if band is None else min(radius, band)
        self.disc = make_disc(particles.box, self._reach(self.band))
        rotations = particles.rotations * self._scale[:, None, None]
        self.rotations = torch.from_numpy(rotations.astype(np.float32))
        self.shifts_px = torch.from_numpy(particles.shifts / pixel_size[:, None])
        self.points = self.disc.points.to(torch.float32)
        self.batch = self._choose_batch()
        self._cache_bytes = cache_bytes
        self._parent: ImageSource | None = None
        self._columns = torch.empty(0, dtype=torch.int64)
        self._kept = self._make_cache()
        self._gain = self._make_gain()
        self.moves = torch.zeros(len(particles), 2, dtype=torch.float64)
        self._moved = False

    def __len__(self) -> int:
        return len(self.particles)

    def _copy(self) -> "ImageSource":
        other = object.__new__(ImageSource)
        other.__dict__.update(self.__dict__)
        return other

    def with_noise(self, noise: NoiseModel | None) -> "ImageSource":
        """Give the same images whitened by another noise model; shares what is cached."""
        other = self._copy()
        other.noise = noise
        other._gain = other._make_gain()
        return other

    def with_corrections(
        self, turns: NDArray[np.float64], moves: NDArray[np.float64]
    ) -> "ImageSource":
        """Give the same images with other poses; shares what is cached.

        Parameters
        ----------
        turns
            Shape (N, 3), radians: a rotation R becomes R exp([turn]×).
        moves
            Shape (N, 2), box lengths: the content has been found moved by as much along x and y.
        """
        other = self._copy()
        turned = rotate_by(torch.from_numpy(turns)).to(self.rotations)
        other.rotations = self.rotations @ turned
        moved = torch.from_numpy(moves * self.particles.box)
        other.moves = self.moves + moved
        other._moved = bool((other.moves != 0).any())
        return other

    def sample(self, limit: int) -> "ImageSource":
        """Make a source of about `limit` of the images, evenly from every optics group.

        A source that is no larger is given as it is.
        """
        if len(self) <= limit:
            return self
        share = limit / len(self)
        rows = []
        for group in range(len(self.groups)):
            members = np.flatnonzero(self.group.numpy() == group)
            count = min(len(members), max(100, round(share * len(members))))
            rows.append(members[np.linspace(0, len(members) - 1, count).astype(np.int64)])
        index = np.sort(np.concatenate(rows))
        other = ImageSource(
            self.particles[index],
            self.radius,
            sign=self.signs[index],
            band=self.band,
            noise=self.noise,
            cache_bytes=self._cache_bytes,
            device=self.device,
        )
        other.rotations = self.rotations[torch.from_numpy(index)]
        other.moves, other._moved = self.moves[torch.from_numpy(index)], self._moved
        return other

    def within(self, radius: int) -> "ImageSource":
        """Give the same images up to a smaller radius, read from this source's cache if it has one.

        The volumes of that radius have a smaller box.
        """
        if radius >= self.radius:
            return self
        other = self._copy()
        other.radius, other.band = radius, min(radius, self.band)
        other.disc = make_disc(self.disc.box, self._reach(other.band))
        other.points = other.disc.points.to(torch.float32)
        shorter = self.disc.points.long().square().sum(1) <= other.disc.radius**2
        other._columns = shorter.nonzero()[:, 0]
        other._parent = None if self._kept is None else self
        other.batch = other._choose_batch() if self._kept is None else self.batch
        other._kept = other._make_cache()
        other._gain = other._make_gain()
        return other

    def _make_cache(self) -> PackedImages | None:
        count, points = len(self.particles), len(self.points)
        home = choose_home(count * points * BYTES_PER_POINT, self._cache_bytes, self.device)
        return None if home is None else PackedImages(count, points, self.batch, home, self._load)

    def _reach(self, band: int) -> int:
        """Largest |k| of an image that stays within `band` on the common grid."""
        return int(band / self._scale.max() + 1e-6)

    def _choose_batch(self) -> int:
        return int(max(16, min(1024, _BATCH_BYTES // (len(self.points) * 24))))

    def _make_gain(self) -> Tensor | None:
        """1 / noise amplitude, shape (G, P)."""
        if self.noise is None:
            return None
        return (1 / self.noise.amplitude(self.disc.shell)).to(self.device)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def batches(self, index: NDArray[np.int64] | None = None) -> Iterator[Batch]:
        """Stream all images, or those with the given row numbers, in batches."""
        rows = np.arange(len(self)) if index is None else np.asarray(index, np.int64)
        for start in range(0, len(rows), self.batch):
            yield self.read(rows[start : start + self.batch])

    def read(self, index: NDArray[np.int64]) -> Batch:
        """Read the images with the given row numbers, in one batch."""
        return self._whiten(index, *self._packed(index))

    def _packed(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        return self._load(rows) if self._kept is None else self._kept.take(rows)

    def _load(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        if self._parent is not None:
            values, filters = self._parent._packed(rows)
            columns = self._columns.to(values.device)
            return values[:, columns], filters[:, columns]
        images = torch.from_numpy(self.particles.images(rows))
        if not bool(torch.isfinite(images.sum())):
            bad = int(rows[int((~torch.isfinite(images).flatten(1).all(1)).nonzero()[0])])
            name = self.particles[[bad]].source["image_name"].iloc[0]
            msg = f"image {name} holds NaN or infinite pixels: remove its row from the particles"
            raise CryoswayError(msg)
        at = torch.from_numpy(rows)
        values = self.disc.pack(fft2_half(images)) * torch.from_numpy(self.signs[rows])[:, None]
        shifts = self.shifts_px[at]
        if bool((shifts != 0).any()):
            values = values * self.phases(shifts)
        return values, compute_ctf(self.disc.frequencies, self.ctf[at])

    def phases(self, shifts_px: Tensor) -> Tensor:
        """exp(−2πi k·shift) at the disc's points, shape (n, P), from one table per axis."""
        radius, box = self.disc.radius, self.disc.box
        device = shifts_px.device
        k = torch.arange(-radius, radius + 1, dtype=torch.float64, device=device) / box
        tables = torch.exp(-2j * torch.pi * shifts_px[:, :, None] * k).to(torch.complex64)
        at = (self.disc.points.long() + radius).to(device)
        return tables[:, 0, at[:, 0]] * tables[:, 1, at[:, 1]]

    def _whiten(self, rows: NDArray[np.int64], values: Tensor, filters: Tensor) -> Batch:
        at = torch.from_numpy(rows)
        group = self.group[at]
        values, filters, rotations, points = (
            t.to(self.device) for t in (values, filters, self.rotations[at], self.points)
        )
        if self._moved:
            values = values * self.phases(-self.moves[at].to(self.device))
        if self._gain is not None:
            gain = self._gain if len(self._gain) == 1 else self._gain[group.to(self.device)]
            values, filters = values * gain, filters * gain
        return Batch(rows, Slices(values, filters, rotations, points), group)


def total_power(source: ImageSource, limit: int = 4000) -> NoiseModel:
    """Mean power of the images per group and shell: an upper bound of the noise."""
    plain = source.with_noise(None)
    count = min(limit, len(source))
    index = np.unique(np.linspace(0, len(source) - 1, count).astype(np.int64))
    sums = ShellSums(len(source.groups), source.disc.radius + 1, source.disc.shell)
    for batch in plain.batches(index):
        sums.add(batch.slices.values.abs().square().cpu(), batch.group)
    return NoiseModel(sums.mean())


@final
class ShellSums:
    """Running means per optics group and shell of a quantity on the points of a disc."""

    def __init__(self, groups: int, shells: int, shell: Tensor) -> None:
        self._sums = torch.zeros(groups, shells, dtype=torch.float64)
        self._counts = torch.zeros(groups, shells, dtype=torch.float64)
        self._shell = shell
        self._points = torch.bincount(shell, minlength=shells).double()

    def add(self, values: Tensor, group: Tensor) -> None:
        """Add values of shape (n, P), of images in optics groups (n,)."""
        per_image = torch.zeros(len(values), self._sums.shape[1], dtype=values.dtype)
        per_image.index_add_(1, self._shell, values)
        self._sums.index_add_(0, group, per_image.double())
        self._counts.index_add_(0, group, self._points.expand(len(values), -1))

    def mean(self) -> NDArray[np.float64]:
        """Shape (G, shells); a group without images gets the mean of the others."""
        overall = self._sums.sum(0) / self._counts.sum(0).clamp(min=1)
        means = torch.where(self._counts > 0, self._sums / self._counts.clamp(min=1), overall)
        # A zero would divide: a shell without data (as after a band limit) gets its neighbour.
        least = 1e-6 * means.amax(dim=1).clamp(min=1e-20)
        for shell in range(1, means.shape[1]):
            empty = means[:, shell] < least
            means[empty, shell] = means[empty, shell - 1]
        return np.asarray(means.clamp(min=least[:, None]).numpy())
