"""Latents, classes and populations of a result against the true ones."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from cryosway.landscape import cluster_particles
from cryosway.methods._bench.map_scores import MapScores
from cryosway.methods._bench.result import Result
from cryosway.methods._bench.truth_set import MOST_STATES, TruthSet
from cryosway.validate import (
    earth_mover_distance,
    judge_latents,
    score_clusters,
    standardise,
    total_variation,
)

FloatArray = NDArray[np.float64]

_MOST = 20_000  # images that latents are judged on
_FEWEST = 100


def score_latents(
    truth: TruthSet, result: Result, clusters: int | None, seed: int
) -> dict[str, Any]:
    """Judge latents as CryoBench does, and classes by the adjusted Rand index.

    Parameters
    ----------
    truth, result
        What is compared; junk is left out.
    clusters
        Classes that k-means cuts latents into where the result has none; None: as many as there
        are states.
    seed
        Of k-means and of the noise that tells equal true latents apart.

    Returns
    -------
    ``latents``, ``true_latents`` (what latents that are the truth reach) and ``clusters``, where
    there is what they need.
    """
    good = np.flatnonzero(truth.states[result.rows] >= 0)
    rows = result.rows[good]
    states = truth.states[rows]
    found: dict[str, Any] = {}
    classes = None if result.classes is None else result.classes[good]
    kind = "its classes"
    if result.latents is not None:
        latents = result.latents[good]
        if len(rows) >= _FEWEST:
            found |= _judge(truth, rows, latents, seed)
        if classes is None:
            count = clusters or len(np.unique(states))
            kind = f"k-means of its latents, {count} classes"
            if 1 < count <= min(len(rows), MOST_STATES):
                found_classes = cluster_particles(standardise(latents), count, seed=seed)
                classes = found_classes.labels.astype(np.int64)
    if classes is not None:
        count = len(np.unique(classes))
        found["clusters"] = {**score_clusters(classes, states), "kind": kind, "count": count}
    return found


def _judge(
    truth: TruthSet, rows: NDArray[np.int64], latents: FloatArray, seed: int
) -> dict[str, Any]:
    step = -(-len(rows) // _MOST)
    rows, latents = rows[::step], latents[::step]
    true = truth.latents[rows]
    others = truth.rotations[rows], standardise(truth.ctf[rows])
    noise = np.random.default_rng(seed).normal(size=true.shape)
    # Latents that are the truth, with a little noise to tell equal ones apart.
    spacing = max(true.std(axis=0).max(), 1e-12) / len(truth.volumes)
    return {
        "latents": {**judge_latents(latents, true, *others), "images": len(rows)},
        "true_latents": judge_latents(true + 1e-3 * spacing * noise, true, *others),
    }


def score_populations(truth: TruthSet, maps: MapScores) -> dict[str, Any]:
    """Compare the states that the scored maps show with those of their images.

    Every map counts for the true state that it is most like. Distances between states are those
    of their true latents, in units of the mean distance of two images.

    Returns
    -------
    ``populations``: the share of maps that show the right state (``right``), their mean distance
    from it (``distance``), and for the populations over all scored images the total variation and
    the earth mover's distance.
    """
    true, found = _find_states(truth, maps)
    distances = measure_state_distances(truth, maps.candidates)
    images, shown = count_states(truth, maps)
    return {
        "populations": {
            "right": float((true == found).mean()),
            "distance": float(distances[true, found].mean()),
            "total_variation": total_variation(images, shown),
            "earth_mover": earth_mover_distance(images, shown, distances),
        }
    }


def _find_states(truth: TruthSet, maps: MapScores) -> list[NDArray[np.int64]]:
    """Find the places among the candidates of the images' states, and of those that maps show."""
    both = (truth.states[maps.rows], maps.nearest)
    return [np.searchsorted(maps.candidates, states) for states in both]


def count_states(truth: TruthSet, maps: MapScores) -> list[NDArray[np.int64]]:
    """Count for each candidate the scored images of that state, and the maps that show it."""
    count = len(maps.candidates)
    return [np.bincount(places, minlength=count) for places in _find_states(truth, maps)]


def measure_state_distances(truth: TruthSet, states: NDArray[np.int64]) -> FloatArray:
    """Measure distances (C, C) of states' true latents; 1 is the mean distance of two images."""
    latents = truth.state_latents(states)
    distances = np.asarray(cdist(latents, latents), np.float64)
    # A state that no image shows is as far from all others as any.
    unknown = ~np.isfinite(distances)
    distances[unknown] = distances[~unknown].max(initial=0.0)
    np.fill_diagonal(distances, 0.0)
    shares = truth.populations[states]
    mean = float(shares @ distances @ shares) / float(shares.sum()) ** 2
    return distances / mean if mean > 0 else distances
