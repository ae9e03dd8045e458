"""The label oracle, and what latents know of the truth."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.inference import Consensus, ImageSource, fit_consensus, split_halves
from cryosway.particles import Particles, read_map
from cryosway.validate import MapScorer
from cryosway.volumes import NormalEquations

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Volume = npt.NDArray[np.float32]

# ---------------------------------------------------------------------------- maps


def load_volumes(paths: list[Path]) -> list[Volume]:
    """Read maps."""
    return [np.asarray(read_map(path)[0], np.float32) for path in paths]


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
