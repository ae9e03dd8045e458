"""CryoBench's scores, the label oracle, and what latents know of the truth."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import cryosway as cs
from cryosway.inference import Consensus, ImageSource, fit_consensus, split_halves
from cryosway.particles import Particles, read_map
from cryosway.validate import low_pass, soften_mask
from cryosway.volumes import NormalEquations

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Volume = npt.NDArray[np.float32]

# The scoring mask: where the low-passed density of any true state exceeds a share of the largest.
MASK_LOW_PASS, MASK_LEVEL = 9.0, 0.10  # Å; of the largest value
MASK_GROW, MASK_EDGE = 6.0, 9.0  # Å
MASK_RULE = (
    f"largest of all true states at every voxel, low-passed to {MASK_LOW_PASS:g} Å, above "
    f"{100 * MASK_LEVEL:g} % of its maximum, grown by {MASK_GROW:g} Å, with a cosine edge of "
    f"{MASK_EDGE:g} Å"
)


# ---------------------------------------------------------------------------- maps


def score_indices(count: int, scored: int = 100) -> IntArray:
    """Images that CryoBench scores: every (N // n)th, the first n of them."""
    return np.arange(0, count, max(1, count // scored))[:scored]


def load_volumes(paths: list[Path]) -> list[Volume]:
    """Read maps."""
    return [np.asarray(read_map(path)[0], np.float32) for path in paths]


def make_union_mask(truths: list[Volume], pixel_size: float) -> Volume:
    """Soft mask that holds every true state; see `MASK_RULE`."""
    largest = np.max([low_pass(truth, pixel_size, MASK_LOW_PASS) for truth in truths], axis=0)
    inside = largest > MASK_LEVEL * largest.max()
    return soften_mask(inside, MASK_GROW / pixel_size, MASK_EDGE / pixel_size)


@dataclass(frozen=True)
class MapScorer:
    """AUC-FSC of maps against true states, within the scoring mask and without any."""

    truths: list[Volume]
    mask: Volume

    def score(self, volume: Volume, state: int) -> tuple[float, float]:
        """Masked and unmasked AUC-FSC of a map against the truth of a state."""
        truth = self.truths[state]
        return (
            cs.auc_fsc(cs.fsc(volume, truth, self.mask)),
            cs.auc_fsc(cs.fsc(volume, truth)),
        )

    def score_all(self, make_map: Callable[[int], Volume], states: IntArray) -> FloatArray:
        """Scores (n, 2) of the maps of images 0 … n−1, which show the given states."""
        return np.array([self.score(make_map(i), int(s)) for i, s in enumerate(states)])


def summarise_scores(scores: FloatArray) -> dict[str, float]:
    """Mean and standard deviation over images of masked and unmasked scores (n, 2)."""
    mean, sd = scores.mean(0), scores.std(0)
    return {"masked": mean[0], "masked_sd": sd[0], "unmasked": mean[1], "unmasked_sd": sd[1]}


def compare_scores(ours: FloatArray, other: FloatArray) -> dict[str, float]:
    """Paired difference and ratio of masked scores, with the standard error of the difference."""
    difference = ours[:, 0] - other[:, 0]
    return {
        "difference": float(difference.mean()),
        "standard_error": float(difference.std(ddof=1) / np.sqrt(len(difference))),
        "ratio": float(ours[:, 0].mean() / other[:, 0].mean()),
    }


# ---------------------------------------------------------------------------- the label oracle


class LabelOracle:
    """Backprojection of particles chosen by their true states.

    It shares everything with the method under test: images, weights, noise spectrum (that of the
    consensus of all particles), prior within the mask, automatic mask and solver. Only the labels
    are better. Every state is accumulated once; a window of states is the sum of theirs.

    Parameters
    ----------
    particles
        The data set; protein is white.
    states
        Shape (N,): true states, ordered along the motion.
    seed
        Of the half-sets.
    """

    def __init__(self, particles: Particles, states: IntArray, seed: int = 0) -> None:
        source = ImageSource(particles, particles.box // 2 - 1)
        half = split_halves(len(particles), particles.half_sets, seed)
        self.consensus: Consensus = fit_consensus(source, half)
        self.count = int(states.max()) + 1
        white = source.with_noise(self.consensus.noise)
        self._sums = NormalEquations(white.radius, 1, parts=self.count)
        part = torch.from_numpy(states.astype(np.int64))
        for batch in white:
            ones = torch.ones(len(batch.index), 1)
            self._sums.add(batch.slices, ones, ones, part[torch.from_numpy(batch.index)])
        self._inverse_prior = 1 / self.consensus.signal_power.clamp(min=1e-30)
        self.solve = lru_cache(maxsize=4)(self._solve)

    def window(self, state: int, reach: int) -> tuple[int, int]:
        """First and last state pooled for a state."""
        return max(0, state - reach), min(self.count - 1, state + reach)

    def _solve(self, first: int, last: int, prior_share: float) -> Volume:
        """Masked map of the states first … last under a share of the inverse prior."""
        window = NormalEquations(self._sums.box // 2 - 1, 1, parts=1)
        window.sums[0] = self._sums.sums[first : last + 1].sum(0)
        solved: Tensor = window.solve(prior_share * self._inverse_prior[None])[0]
        return (solved * self.consensus.mask).numpy()


def score_oracle(
    oracle: LabelOracle, scorer: MapScorer, states: IntArray, share: float, reach: int
) -> FloatArray:
    """Scores (n, 2) of the oracle's map for every scored image."""
    scores = {}
    for state in np.unique(states).tolist():
        first, last = oracle.window(state, reach)
        scores[state] = scorer.score(oracle.solve(first, last, share), state)
    return np.array([scores[int(state)] for state in states])


# ---------------------------------------------------------------------------- latents


def explain_linearly(latents: FloatArray, truth: FloatArray) -> float:
    """R² of the truth by linear regression on latents, five-fold cross-validated."""
    from sklearn.linear_model import LinearRegression

    return _validated_r2(LinearRegression(), latents, truth)


def explain_by_neighbours(latents: FloatArray, truth: FloatArray, neighbours: int = 50) -> float:
    """R² of the truth by the mean over nearest neighbours in latent space, cross-validated."""
    from sklearn.neighbors import KNeighborsRegressor

    count = max(1, min(neighbours, len(latents) // 10))
    return _validated_r2(KNeighborsRegressor(count), latents, truth)


def _validated_r2(model: object, latents: FloatArray, truth: FloatArray) -> float:
    from sklearn.model_selection import KFold, cross_val_predict

    folds = KFold(5, shuffle=True, random_state=0)
    predicted = cross_val_predict(model, latents, truth, cv=folds)
    return float(1 - np.square(truth - predicted).sum() / np.square(truth - truth.mean()).sum())


def separate(features: FloatArray, labels: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve of a logistic regression, five-fold cross-validated."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if min(labels.sum(), (~labels).sum()) < 5:
        return float("nan")
    model = make_pipeline(StandardScaler(), LogisticRegression())
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    scores = cross_val_predict(model, features, labels, cv=folds, method="decision_function")
    return float(roc_auc_score(labels, scores))


def check_calibration(latents: FloatArray, latent_sd: FloatArray, states: IntArray) -> FloatArray:
    """Mean squared z-score of latents about the latent of their state, 1 where the sd is right.

    The latent of a state is its particles' joint maximum of the likelihood: of each posterior the
    prior is taken out (its variance v is that of the EM step, ⟨z² + sd²⟩), so that particles are
    not pulled towards zero once each: z_s = Σ z/sd² / Σ (1/sd² − 1/v).

    Returns
    -------
    Shape (K,).
    """
    prior = (latents**2 + latent_sd**2).mean(0)
    precision = 1 / latent_sd**2
    score = np.zeros(latents.shape[1])
    for state in np.unique(states):
        rows = states == state
        data = np.maximum((precision[rows] - 1 / prior).sum(0), 1e-12)
        centre = (latents[rows] * precision[rows]).sum(0) / data
        score += np.square((latents[rows] - centre) / latent_sd[rows]).sum(0)
    return score / len(latents)
