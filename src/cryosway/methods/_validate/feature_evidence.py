"""What images say of features of a job's volumes, with no model between the two.

The Fourier points of every image are parted like the squares of a chessboard. From one colour
follows which volumes of the job the image may show, and so how much of each feature; the other
colour, whose noise has had no part in that, is asked whether it is there. What is asked is what the
consensus leaves unexplained, so that features that the model has everywhere and the images nowhere
count for nothing; and what neither another contrast nor a small error of the pose would explain.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.inference import (
    Batch,
    ImageSource,
    gram_of_columns,
    make_columns,
    move_derivatives,
    turn_derivatives,
)
from cryosway.methods._structural.unseen import chessboard
from cryosway.methods._validate.volume_sample import VolumeSample, project_out
from cryosway.volumes import NormalEquations, SliceReader, Slices

FloatArray = npt.NDArray[np.float64]
_RIDGE = 0.05  # of the mean weight
_TURNS, _MOVES = 3, 2  # what an error of a pose is made of


@final
@dataclass(frozen=True, eq=False)
class Asked:
    """What is asked of images.

    Attributes
    ----------
    sample
        Volumes of a model, at the latents of particles drawn at random.
    consensus
        Shape (b, b, b): the map of all particles, made from their images.
    features
        Shape (F, b, b, b): changes of it.
    amounts
        Shape (M, F): how much of each feature every volume of the sample has.
    states
        Shape (M,): nearest state of every volume of the sample.
    state_count
        Number C of states.
    """

    sample: VolumeSample
    consensus: Tensor
    features: Tensor
    amounts: FloatArray
    states: npt.NDArray[np.int64]
    state_count: int


@final
@dataclass(frozen=True, eq=False)
class Evidence:
    """What n images answer.

    Attributes
    ----------
    normal, right
        Shapes (F, 2, 2) and (F, 2): least squares for the amplitude of each feature and of all
        else that the model foretells.
    expected
        Shape (n, F): how much of a feature the model foretells, from either colour.
    measured, error
        Shape (n, F): how much of it the points that were left out show, and its standard error.
    state_probability
        Shape (n, C + 1): the last is 1, for all particles.
    scores
        Shape (C + 1, R): what the model foretells of the particles of each state, and of all.
    maps
        Shape (C + 1, b, b, b): of the particles of each state, and of all; every point is weighed
        by what the other colour says of its particle.
    """

    normal: FloatArray
    right: FloatArray
    expected: FloatArray
    measured: FloatArray
    error: FloatArray
    state_probability: FloatArray
    scores: FloatArray
    maps: Tensor


def solve_amplitudes(evidence: list[Evidence]) -> tuple[FloatArray, FloatArray]:
    """Amplitude (F,) of every feature in the images of all evidence, and its standard error.

    1 where the images have all that the model foretells, 0 where they have nothing of it.
    """
    normal, right = (sum(getattr(one, name) for one in evidence) for name in ("normal", "right"))
    ridge = 1e-9 * np.maximum(np.einsum("fkk->f", normal), 1e-12)
    inverse = np.linalg.inv(normal + ridge[:, None, None] * np.eye(2))
    return np.einsum("fkl,fl->fk", inverse, right)[:, 0], np.sqrt(inverse[:, 0, 0])


@torch.no_grad()
def ask_images(
    asked: Asked,
    source: ImageSource,
    rows: npt.NDArray[np.int64],
    contrast: FloatArray,
    watch: Callable[[int], None] | None = None,
) -> Evidence:
    """Ask some images of a source, in one pass.

    Parameters
    ----------
    asked
        Features, and volumes that decide who has them.
    source
        Whitened, on the box of the volumes.
    rows
        Shape (n,): which images.
    contrast
        Shape (n,): of these.
    watch
        Told the number of images of each batch that is done.
    """
    sums, start = _Sums(asked, source, len(rows)), 0
    for batch in source.batches(rows):
        here = slice(start, start + len(batch.index))
        colours = [replace(batch, slices=_pick(batch.slices, board)) for board in sums.boards]
        grams = [sums.measure(colour) for colour in colours]
        for seen in (0, 1):
            sums.add(
                _Images(
                    here, grams[seen], grams[1 - seen], colours[1 - seen].slices, contrast[here]
                )
            )
        start = here.stop
        if watch is not None:
            watch(len(batch.index))
    return sums.finish()


def _pick(slices: Slices, points: Tensor) -> Slices:
    """Pick some of the points."""
    return Slices(
        slices.values[:, points].contiguous(),
        slices.filters[:, points].contiguous(),
        slices.rotations,
        slices.points[points].contiguous(),
    )


@final
@dataclass(frozen=True, eq=False)
class _Images:
    """Some images, of which one colour is seen and the other one is asked.

    Attributes
    ----------
    place
        Their rows in `Evidence`.
    seen, asked
        Gram matrices (m, R + F + 1, ·) of principal volumes, features and data, on the points of
        either colour, less what consensus and errors of the pose explain.
    slices
        The points that are asked.
    contrast
        Shape (m,).
    """

    place: slice
    seen: FloatArray
    asked: FloatArray
    slices: Slices
    contrast: FloatArray


@final
class _Sums:
    """Accumulates `Evidence`."""

    def __init__(self, asked: Asked, source: ImageSource, count: int) -> None:
        self.asked = asked
        turns = turn_derivatives(asked.consensus)
        shown = torch.cat([asked.consensus[None], turns, asked.sample.basis, asked.features])
        self._reader = SliceReader(shown.to(source.device))
        white = chessboard(source.points.cpu())[0] > 0.5
        self.boards = [b.nonzero()[:, 0].to(source.device) for b in (white, ~white)]
        features, states = len(asked.features), asked.state_count + 1
        self.equations = NormalEquations(
            source.radius, states, parts=1, coupled=False, device=source.device
        )
        self.normal, self.right = np.zeros((features, 2, 2)), np.zeros((features, 2))
        self.expected = np.zeros((count, features))
        self.match, self.power = np.zeros((2, count, features))
        self.probability = np.zeros((count, states))
        self.scores = np.zeros((states, asked.sample.scores.shape[1]))
        self._states = np.eye(states)[asked.states]
        self._states[:, -1] = 1

    def measure(self, batch: Batch) -> FloatArray:
        """Gram matrices of what is asked for and the data, less consensus and pose errors."""
        columns = make_columns(batch, self._reader, spare=_MOVES)
        moved = columns[..., -1 - _MOVES : -1]
        moved[:] = move_derivatives(batch, columns[..., 0])
        count = columns.shape[-1]
        known = [*range(1 + _TURNS), *range(count - 1 - _MOVES, count - 1)]
        return project_out(gram_of_columns(columns), known)

    def add(self, images: _Images) -> None:
        """Add images: what is seen decides what they show, and the rest is asked for it."""
        asked = self.asked
        part = [*range(asked.sample.scores.shape[1]), -1]
        weights = asked.sample.weigh(images.seen[:, part][:, :, part], images.contrast)
        scores = weights @ asked.sample.scores
        self._add_features(images, weights @ asked.amounts, scores)
        self._add_states(images, weights @ self._states, scores)

    def _add_features(self, images: _Images, amounts: FloatArray, scores: FloatArray) -> None:
        """Least squares of what is unexplained, by each feature and the rest that is foretold.

        Parameters
        ----------
        images
            m of them.
        amounts
            Shape (m, F): of every feature, as foretold.
        scores
            Shape (m, R): all that is foretold.
        """
        gram, a = images.asked, images.contrast[:, None]
        basis, features = slice(scores.shape[1]), slice(scores.shape[1], -1)
        left = gram[:, :, -1]
        power = a**2 * np.einsum("nff->nf", gram[:, features, features])
        across = a**2 * np.einsum("nrf,nr->nf", gram[:, basis, features], scores)
        whole = np.einsum("nr,nrq,nq->n", scores, gram[:, basis, basis], scores)[:, None] * a**2
        match, match_all = a * left[:, features], a * (left[:, basis] * scores).sum(1)[:, None]
        own = amounts**2 * power
        mixed = amounts * across - own  # of the feature with the rest
        normal = np.array([[own, mixed], [mixed, whole - 2 * amounts * across + own]])
        right = np.array([amounts * match, match_all - amounts * match])
        self.normal += np.moveaxis(normal.sum(2), 2, 0)
        self.right += right.sum(1).T
        self.expected[images.place] += 0.5 * amounts
        self.match[images.place] += match - (across - amounts * power)
        self.power[images.place] += power

    def _add_states(self, images: _Images, probability: FloatArray, scores: FloatArray) -> None:
        """Backproject what is asked, weighed by the probability (m, C) of every state."""
        a = images.contrast[:, None]
        first, second = (torch.from_numpy(probability * a**n).float() for n in (1, 2))
        self.equations.add(images.slices, first, second, torch.zeros(len(a), dtype=torch.int64))
        self.probability[images.place] += 0.5 * probability
        self.scores += probability.T @ scores

    def finish(self) -> Evidence:
        """Solve for the maps, and give everything."""
        weight = self.equations.weight_power(self.equations.box // 2)
        power = np.maximum(self.power, 1e-30)
        return Evidence(
            normal=self.normal,
            right=self.right,
            expected=self.expected,
            measured=self.match / power,
            error=1 / np.sqrt(power),
            state_probability=self.probability,
            scores=self.scores / np.maximum(2 * self.probability.sum(0), 1e-12)[:, None],
            maps=self.equations.solve(_RIDGE * weight.clamp(min=1e-30)).cpu(),
        )
