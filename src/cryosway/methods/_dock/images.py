"""Do images show a model where it lies? Its projections against them, and those of decoys."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import fourier_shift
from scipy.spatial.transform import Rotation

from cryosway._errors import CryoswayError
from cryosway.inference import ImageSource, total_power
from cryosway.methods._inputs.pose_hypotheses import compare_scores, correlate_views
from cryosway.particles import Particles
from cryosway.protein import AtomTable
from cryosway.simulate import Potential, truth_volume
from cryosway.volumes import SliceReader

FloatArray = NDArray[np.float64]
Verdict = Literal["good", "shifted", "mirrored", "inverted", "unseen"]

_RESOLUTION = 12.0
_IMAGES = 1_000
#: Shells of the box below this are left out: what is coarser, all particles share.
_COARSEST = 1 / 12
#: What p-value makes it certain that images show the model, or a decoy rather than it.
_CERTAIN = 1e-3
#: How many times better than the mirror the model must fit, above shuffled poses.
_CLEAR = 1.5
_TOLERANCE = 2.0
_CLIMBS = 4


@dataclass(frozen=True, eq=False)
class ViewCheck:
    """What a comparison of a model's projections with images found.

    Attributes
    ----------
    verdict
        ``good``; ``shifted``; ``mirrored`` (images, or their poses, are of the other hand);
        ``inverted`` (protein is dark in them); ``unseen`` (no better than with each other's
        poses, or hardly better than the mirror or turned).
    sentence
        The same for people.
    images
        How many were compared.
    resolution
        The finest that was compared, Å.
    correlations
        Mean over the images: ``as given``, ``mirrored``, ``shuffled`` (each with the pose of
        another), ``turned`` (the best of 23 other orientations), ``moved`` (by `shift`).
    t
        By how many standard errors they fit better as given than shuffled.
    shift
        Shape (3,), Å, by which the model is to be moved for the images to fit best.
    """

    verdict: Verdict
    sentence: str
    images: int
    resolution: float
    correlations: dict[str, float]
    t: float
    shift: FloatArray

    def require(self) -> None:
        """Raise a `CryoswayError` unless the verdict is good."""
        if self.verdict != "good":
            raise CryoswayError(self.sentence)


def check_views(
    atoms: AtomTable,
    particles: Particles,
    *,
    sign: float | NDArray[np.int8] = 1.0,
    resolution: float = _RESOLUTION,
    images: int = _IMAGES,
    seed: int = 0,
) -> ViewCheck:
    """Correlate images with the projections of a model under their poses and CTF.

    Whitened, from 1/12 of the box to the resolution. An image's noise is the same whatever it
    is compared with, so that differences are tested in pairs.

    Parameters
    ----------
    atoms
        With the centre of the box at (0, 0, 0): see `DockingCheck.place_in_box`.
    particles
        With poses and CTF.
    sign
        +1 where protein is white in the images, −1 where it is dark; a scalar or shape (N,).
    resolution
        The finest to compare, Å.
    images
        How many images at most, evenly spaced.
    seed
        Of the shuffling.

    Returns
    -------
    A verdict with numbers.
    """
    views = _Views(particles, sign, resolution, images)
    density = views.density_of(atoms)
    order = np.random.default_rng(seed).permutation(len(views))
    scores = {
        "as given": views.score(density),
        "mirrored": views.score(torch.roll(density.flip(0), 1, 0).contiguous()),
        "shuffled": views.score(density, views.rotations[torch.from_numpy(order)]),
        "turned": views.score_turned(density),
    }
    verdict, shift = _decide(scores), np.zeros(3)
    if verdict == "good":
        shift, scores["moved"] = views.find_shift(density, scores["as given"])
        is_better = compare_scores(scores["moved"], scores["as given"]).p_value < _CERTAIN
        if is_better and np.linalg.norm(shift) > max(_TOLERANCE, views.pixel_size):
            verdict = "shifted"
    means = {name: float(values.mean()) for name, values in scores.items()}
    return ViewCheck(
        verdict=verdict,
        sentence=_say(verdict, means, len(views), shift),
        images=len(views),
        resolution=views.resolution,
        correlations=means,
        t=compare_scores(scores["as given"], scores["shuffled"]).t,
        shift=shift,
    )


class _Views:
    """Images, and how they correlate with views of densities."""

    def __init__(
        self,
        particles: Particles,
        sign: float | NDArray[np.int8],
        resolution: float,
        images: int,
    ) -> None:
        rows = np.unique(np.linspace(0, len(particles) - 1, images).astype(np.int64))
        signs = np.broadcast_to(np.asarray(sign, np.float32), (len(particles),))[rows]
        part = particles[rows]
        self.pixel_size = float(part.ctf["pixel_size"].max())
        self.extent = particles.box * self.pixel_size
        self.radius = int(np.clip(self.extent / resolution, 6, particles.box // 2 - 1))
        self.resolution = self.extent / self.radius
        source = ImageSource(part, self.radius, sign=signs)
        self._source = source.with_noise(total_power(source))
        self.rotations = source.rotations
        coarsest = max(1, round(_COARSEST * 2 * (self.radius + 1)))
        self._keep = source.disc.shell >= coarsest

    def __len__(self) -> int:
        return len(self._source)

    def density_of(self, atoms: AtomTable) -> torch.Tensor:
        """Sample the density of a model."""
        box = 2 * (self.radius + 1)
        potential = Potential(kind="electron", bfactor=100.0)
        return torch.from_numpy(truth_volume(atoms, box, self.extent / box, potential=potential))

    def score(self, density: torch.Tensor, rotations: torch.Tensor | None = None) -> FloatArray:
        """Correlate each image with its view, shape (N,), for rotations (N, 3, 3)."""
        reader = SliceReader(density[None])
        turns = self.rotations if rotations is None else rotations
        found = np.zeros(len(self))
        for batch in self._source:
            of_batch = turns[torch.from_numpy(batch.index)].contiguous()
            slices = replace(batch.slices, rotations=of_batch)
            found[batch.index] = correlate_views(slices, reader, self._keep)
        return found

    def score_turned(self, density: torch.Tensor) -> FloatArray:
        """Score the model turned as a cube may be: the best of 23 turns, shape (N,)."""
        turns = torch.from_numpy(Rotation.create_group("O").as_matrix()).float()
        others = [turn for turn in turns if float(torch.trace(turn)) < 2.9]
        scores = [self.score(density, self.rotations @ turn) for turn in others]
        return max(scores, key=lambda values: abs(float(values.mean())))

    def find_shift(
        self, density: torch.Tensor, scores: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Find the shift, Å, after which images fit best, by parabolas along x, y and z."""
        box, transform = len(density), np.fft.rfftn(density.numpy())

        def score(shift: FloatArray) -> FloatArray:
            voxels = shift[::-1] * box / self.extent
            moved = np.fft.irfftn(fourier_shift(transform, voxels, n=box), density.shape, (0, 1, 2))
            return self.score(torch.from_numpy(moved.astype(np.float32)))

        step, best, shift = self.resolution / 4, scores, np.zeros(3)
        for _ in range(_CLIMBS):
            middle, move = float(best.mean()), np.zeros(3)
            for axis, direction in enumerate(step * np.eye(3)):
                low, high = (float(score(shift + s * direction).mean()) for s in (-1, 1))
                bend = low - 2 * middle + high
                offset = 0.5 * (low - high) / bend if bend < 0 else np.sign(high - low)
                move[axis] = step * np.clip(offset, -1.5, 1.5)
            moved = score(shift + move)
            if moved.mean() <= middle:
                break
            shift, best = shift + move, moved
        return shift, best


def _decide(scores: dict[str, FloatArray]) -> Verdict:
    """Judge by paired tests; where all is dark, by the negative of the model.

    A model that lies elsewhere fits about as well as its mirror: what both have above shuffled
    poses is but the common shape.
    """
    sign = 1.0 if scores["as given"].mean() > 0 else -1.0
    signed = {name: sign * values for name, values in scores.items()}
    hands = sorted(("as given", "mirrored"), key=lambda name: -signed[name].mean())
    best, other = signed[hands[0]], signed[hands[1]]
    gain, other_gain = (float((s - signed["shuffled"]).mean()) for s in (best, other))
    is_seen = (
        gain > max(_CLEAR * other_gain, 0.0)
        and compare_scores(best, signed["shuffled"]).p_value < _CERTAIN
        and compare_scores(best, other).p_value < _CERTAIN
    )
    turned = compare_scores(signed["turned"], best)
    if not is_seen or (turned.gain > 0 and turned.p_value < _CERTAIN):
        return "unseen"
    if sign < 0:
        return "inverted"
    return "good" if hands[0] == "as given" else "mirrored"


def _say(verdict: Verdict, means: dict[str, float], count: int, shift: FloatArray) -> str:
    numbers = (
        f"mean correlation of {count} images with its views {means['as given']:.3f}, with each "
        f"other's poses {means['shuffled']:.3f}, turned {means['turned']:.3f}, mirrored "
        f"{means['mirrored']:.3f}"
    )
    sentences: dict[Verdict, str] = {
        "good": f"the images show the model: {numbers}",
        "shifted": (
            "the images show the model off by ({:.1f}, {:.1f}, {:.1f}) Å: ".format(*shift)
            + f"{numbers}, moved {means.get('moved', 0):.3f}; place it in the map with: cryosway "
            "protein dock MODEL MAP --out JOB"
        ),
        "mirrored": (
            f"the images show the mirror of the model: {numbers}; the poses have the other hand: "
            "mirror them and the map, or dock the model into the map with: cryosway protein dock"
        ),
        "inverted": (
            f"the images show the negative of the model: {numbers}; protein is dark in them: "
            "give --contrast dark"
        ),
        "unseen": (
            f"the images do not show the model: {numbers}; is it docked into the map that was "
            "made with these poses? If not: cryosway protein dock MODEL MAP --out JOB"
        ),
    }
    return sentences[verdict]
