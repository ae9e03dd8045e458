"""Test how well images fit a map made of *other* images, for each way to read their metadata.

A wrong convention spoils the map as well as the views of it, so the map is made anew under every
hypothesis; and an image never meets a map that it has helped to make, so nothing is overfitted.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import stdtr
from torch import Tensor

from cryosway.inference import ImageSource, total_power
from cryosway.optics import filter_volumes
from cryosway.particles import Particles
from cryosway.validate import fsc, sphere_mask
from cryosway.volumes import NormalEquations, SliceReader, Slices

FloatArray = npt.NDArray[np.float64]
PoseChange = Callable[[Tensor, "Metadata"], Tensor]
FilterChange = Callable[[Tensor, Tensor], Tensor]

FEW = 50  # images that are cut into as many parts as can be
MANY = 200  # images from which two half-sets serve; fewer are cut into more parts
_MOST_PARTS = 10
_SHUFFLES = 5  # of few images; one of many
_COARSEST = 1 / 12  # of the box, Fourier pixels: what is coarser, all images share


@dataclass(frozen=True, eq=False)
class Metadata:
    """What is read of the images, and could have been read otherwise.

    Attributes
    ----------
    rotations
        Shape (N, 3, 3).
    shifts
        Shape (N, 2), pixels.
    pixel_size
        Shape (N,), Å.
    order
        Shape (N,), a random permutation.
    """

    rotations: Tensor
    shifts: Tensor
    pixel_size: Tensor
    order: Tensor


def _keep(values: Tensor, _: Metadata | Tensor) -> Tensor:
    return values


def _shuffle(values: Tensor, metadata: Metadata) -> Tensor:
    return values[metadata.order]


@final
@dataclass(frozen=True)
class Hypothesis:
    """A way to read the metadata.

    Attributes
    ----------
    name
        Short.
    change
        What is done otherwise, as a part of a sentence.
    cause
        What would be wrong with the files if images fitted best so, as a sentence.
    rotations, shifts
        What becomes of all rotations, (N, 3, 3), and shifts, (N, 2).
    filters
        What becomes of the whitened CTF of some images, (n, P), given the whitening itself.
    """

    name: str
    change: str
    cause: str = ""
    rotations: PoseChange = _keep
    shifts: PoseChange = _keep
    filters: FilterChange = _keep

    @property
    def is_random(self) -> bool:
        """Whether poses are shuffled."""
        return self.rotations is _shuffle


def _transpose(values: Tensor, _: Metadata) -> Tensor:
    return values.transpose(1, 2).contiguous()


def _flip_sign(values: Tensor, _: Metadata) -> Tensor:
    return -values


def _swap_axes(values: Tensor, _: Metadata) -> Tensor:
    return values.flip(1)


def _leave_out(values: Tensor, _: Metadata) -> Tensor:
    return torch.zeros_like(values)


def _take_absolute(filters: Tensor, _: Tensor) -> Tensor:
    return filters.abs()


def _take_gain(_: Tensor, gain: Tensor) -> Tensor:
    return gain


def _roll(filters: Tensor, _: Tensor) -> Tensor:
    """Give each image the CTF of one that is far from it in the files."""
    return torch.roll(filters, len(filters) // 2, 0)


def _to_angstrom_twice(values: Tensor, metadata: Metadata) -> Tensor:
    return values * metadata.pixel_size[:, None]


def _to_pixels_twice(values: Tensor, metadata: Metadata) -> Tensor:
    return values / metadata.pixel_size[:, None]


GIVEN = Hypothesis("as given", "as they are")
SHUFFLED = Hypothesis("poses shuffled", "with each other's poses", "", _shuffle, _shuffle)
POSE_HYPOTHESES = (
    Hypothesis(
        "shift sign",
        "with the shifts' sign flipped",
        "the shifts have the opposite sign",
        shifts=_flip_sign,
    ),
    Hypothesis(
        "rotation direction",
        "with the rotations transposed",
        "the rotations are the inverse of what they should be",
        _transpose,
    ),
    Hypothesis(
        "rotation direction and shift sign",
        "with the rotations transposed and the shifts' sign flipped",
        "the rotations are the inverse, and the shifts have the opposite sign, of what they "
        "should be",
        _transpose,
        _flip_sign,
    ),
    Hypothesis(
        "shift axes",
        "with x and y of the shifts exchanged",
        "x and y of the shifts are in the wrong order",
        shifts=_swap_axes,
    ),
    Hypothesis(
        "shift unit",
        "with the shifts taken as pixels",
        "the shifts are in pixels, not in Å",
        shifts=_to_angstrom_twice,
    ),
    Hypothesis(
        "shift unit, other way",
        "with the shifts divided by the pixel size",
        "the pixel size has been multiplied into the shifts once too often",
        shifts=_to_pixels_twice,
    ),
    Hypothesis(
        "shifts left out",
        "without the shifts",
        "the images are centred already, or the shifts belong to other images",
        shifts=_leave_out,
    ),
)
CTF_HYPOTHESES = (
    Hypothesis(
        "phase flipping",
        "with the absolute value of the CTF",
        "the images are phase-flipped already",
        filters=_take_absolute,
    ),
    Hypothesis(
        "CTF left out",
        "without a CTF",
        "the images are corrected for it already, or it belongs to other images",
        filters=_take_gain,
    ),
    Hypothesis(
        "CTF order",
        "with each other's CTF",
        "the rows of the CTF are not in the order of the images",
        filters=_roll,
    ),
)


@final
class HypothesisTest:
    """Correlates images with views of a map made of other images.

    Parameters
    ----------
    particles
        With poses.
    radius
        Largest |k|, Fourier pixels.
    signs
        Shape (N,).
    half
        Shape (N,), 0 or 1: used where there are many images.
    seed
        Of the shuffling.
    """

    def __init__(
        self,
        particles: Particles,
        radius: int,
        signs: npt.NDArray[np.int8],
        half: Tensor,
        seed: int,
    ) -> None:
        count = len(particles)
        pixel_size = particles.ctf["pixel_size"].to_numpy(np.float64)
        centred = particles.with_poses(particles.rotations, np.zeros((count, 2)))
        source = ImageSource(centred, radius, sign=signs)
        self._noise = total_power(source)
        self._source = source.with_noise(self._noise)
        self._coarsest = max(1, round(_COARSEST * 2 * (radius + 1)))
        self._parts = 2 if count >= MANY else min(_MOST_PARTS, count) if count <= FEW else 4
        self._part = half if count >= MANY else torch.arange(count) % self._parts
        self._random = np.random.default_rng(seed)
        self._metadata = Metadata(
            source.rotations,
            torch.from_numpy(particles.shifts / pixel_size[:, None]).float(),
            torch.tensor(pixel_size).float(),
            torch.arange(count),
        )
        box = 2 * (radius + 1)
        self._mask = torch.from_numpy(sphere_mask(box, 0.36 * box, 0.08 * box))

    def score(self, hypothesis: Hypothesis) -> FloatArray:
        """Correlation of each image with its view under a hypothesis, shape (N,)."""
        count = len(self._source)
        rounds = _SHUFFLES if hypothesis.is_random and count < MANY else 1
        total = np.zeros(count)
        for _ in range(rounds):
            order = torch.from_numpy(self._random.permutation(count))
            total += self._score_once(hypothesis, replace(self._metadata, order=order))
        return total / rounds

    def _score_once(self, hypothesis: Hypothesis, metadata: Metadata) -> FloatArray:
        readers = self._map_of_others(hypothesis, metadata)
        keep = self._source.disc.shell >= self._coarsest
        found = np.zeros(len(self._source))
        for rows, slices in self._read(hypothesis, metadata):
            for part, reader in enumerate(readers):
                mine = self._part[rows] == part
                if bool(mine.any()):
                    found[rows[mine].numpy()] = correlate_views(_choose(slices, mine), reader, keep)
        return found

    def _read(self, hypothesis: Hypothesis, metadata: Metadata) -> Iterator[tuple[Tensor, Slices]]:
        """Stream the images with poses and CTF as the hypothesis has them."""
        rotations = hypothesis.rotations(metadata.rotations, metadata)
        shifts = hypothesis.shifts(metadata.shifts, metadata)
        disc = self._source.disc
        amplitude = self._noise.amplitude(disc.shell)
        for batch in self._source:
            rows = torch.from_numpy(batch.index)
            angle = -2 * torch.pi * (shifts[rows] @ disc.frequencies.T)
            phase = torch.polar(torch.ones_like(angle), angle)
            gain = 1 / amplitude[batch.group]
            slices = replace(
                batch.slices,
                values=batch.slices.values * phase,
                filters=hypothesis.filters(batch.slices.filters, gain),
                rotations=rotations[rows].contiguous(),
            )
            yield rows, slices

    def _map_of_others(self, hypothesis: Hypothesis, metadata: Metadata) -> list[SliceReader]:
        """For each part the map of all others."""
        equations = NormalEquations(self._source.radius, 1, parts=self._parts)
        for rows, slices in self._read(hypothesis, metadata):
            ones = torch.ones(len(rows), 1)
            equations.add(slices, ones, ones, self._part[rows])
        equations.sums.copy_(equations.sums.sum(0, keepdim=True) - equations.sums)
        shells = equations.box // 2
        ridge = 1e-3 if self._parts == 2 else 1.0 - 1.0 / self._parts
        ridges = ridge * equations.weight_power(shells).mean() * torch.ones(1, shells)
        maps = [equations.solve(ridges, part)[0] * self._mask for part in range(self._parts)]
        if self._parts == 2:
            curve = fsc(maps[0].numpy(), maps[1].numpy())
            trust = torch.from_numpy(np.clip(2 * curve / (1 + np.abs(curve)), 0.0, 1.0)).float()
            maps = [filter_volumes(one[None], trust)[0] for one in maps]
        return [SliceReader(one[None]) for one in maps]


def _choose(slices: Slices, mine: Tensor) -> Slices:
    return replace(
        slices,
        values=slices.values[mine],
        filters=slices.filters[mine],
        rotations=slices.rotations[mine].contiguous(),
    )


def correlate_views(slices: Slices, reader: SliceReader, keep: Tensor) -> FloatArray:
    """Correlate images with CTF times view over the chosen points, shape (n,)."""
    view = torch.view_as_complex(reader.read(slices)[..., 0].contiguous()) * slices.filters
    view, image = view[:, keep], slices.values[:, keep]
    product = (view.conj() * image).real.sum(1)
    norm = (view.abs().square().sum(1) * image.abs().square().sum(1)).sqrt()
    return np.asarray((product / norm.clamp(min=1e-20)).double().numpy())


@dataclass(frozen=True)
class Comparison:
    """How much better images fit under one hypothesis than under another.

    Attributes
    ----------
    gain
        Mean difference of the correlations.
    t
        The same over its standard error.
    p_value
        Two-sided, Student's t over the images.
    """

    gain: float
    t: float
    p_value: float


def compare_scores(a: FloatArray, b: FloatArray) -> Comparison:
    """Compare two scores of the same images, a against b."""
    difference = a - b
    gain, count = float(difference.mean()), len(difference)
    if count < 2 or np.abs(difference).max() < 1e-3 * max(np.abs(a).max(), 1e-12):
        return Comparison(gain, 0.0, 1.0)  # the same but for rounding
    t = gain / max(float(difference.std(ddof=1)) / np.sqrt(count), 1e-12)
    return Comparison(gain, t, float(2 * stdtr(count - 1, -abs(t))))
