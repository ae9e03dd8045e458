"""What is true of the simulated ribosomes, and how well latents and maps tell it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from _scoring import (
    FloatArray,
    Volume,
    explain_by_neighbours,
    explain_linearly,
    load_volumes,
    separate,
)

from cryosway.simulate import SimulatedSet
from cryosway.validate import low_pass, make_union_mask

SITES = ("A", "E")  # the P site is occupied in every particle
RATCHET = "ratchet"
MOTIONS = (RATCHET, *(f"tRNA {site}" for site in SITES))
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RibosomeTruth:
    """The truth of the first N particles.

    Attributes
    ----------
    table
        truth.parquet.
    states
        states.csv: ratchet angle and occupied sites of every state.
    volumes
        True map of every state.
    pixel_size
        Å.
    low_pass
        Å, of every comparison of maps.
    """

    table: pd.DataFrame
    states: pd.DataFrame
    volumes: list[Volume]
    pixel_size: float
    low_pass: float

    @classmethod
    def load(
        cls, made: SimulatedSet, count: int, pixel_size: float, low_pass: float
    ) -> "RibosomeTruth":
        """Read the truth of a simulated set."""
        states = pd.read_csv(made.path / "states.csv")
        volumes = load_volumes(made.volumes)
        return cls(made.truth().iloc[:count], states, volumes, pixel_size, low_pass)

    @property
    def good(self) -> Bools:
        """Which particles are ribosomes, shape (N,)."""
        return np.asarray(self.table["label"] == "particle")

    @cached_property
    def state_values(self) -> pd.DataFrame:
        """Value of every motion in every state: ratchet over its range, occupancy 0 or 1."""
        values = {RATCHET: self.states["ratchet"] / self.states["ratchet"].max()}
        for site in SITES:
            values[f"tRNA {site}"] = self.states["sites"].str.contains(site).astype(float)
        return pd.DataFrame(values)

    @cached_property
    def values(self) -> pd.DataFrame:
        """Value of every motion in every particle."""
        return self.state_values.iloc[self.table["state"].to_numpy()].reset_index(drop=True)

    @cached_property
    def inside(self) -> Bools:
        """Voxels that are compared."""
        return np.asarray(make_union_mask(self.volumes, self.pixel_size) > 0.5)

    def flatten(self, volume: Volume) -> FloatArray:
        """Low-passed values inside the mask, shape (voxels,)."""
        return np.asarray(low_pass(volume, self.pixel_size, self.low_pass)[self.inside], np.float64)

    @cached_property
    def flat_states(self) -> FloatArray:
        """Every true state, flattened, shape (states, voxels)."""
        return np.array([self.flatten(volume) for volume in self.volumes])

    @cached_property
    def differences(self) -> FloatArray:
        """What each motion does to the map from 0 to 1, others kept, shape (motions, voxels).

        Least squares over the true states of a model that is linear in the three motions.
        """
        design = np.column_stack([np.ones(len(self.states)), self.state_values[list(MOTIONS)]])
        return np.asarray(np.linalg.lstsq(design, self.flat_states, rcond=None)[0][1:])


# ---------------------------------------------------------------------------- latents


def judge_latents(latents: FloatArray, truth: RibosomeTruth) -> dict[str, Any]:
    """What latents of real particles tell about ratchet and occupancy.

    The motions go together (a ratcheted ribosome more often has an E-site tRNA), so each is also
    judged among particles that are alike in the others.
    """
    good = truth.good
    z, values = latents[good], truth.values[good]
    sites = values[[f"tRNA {site}" for site in SITES]].to_numpy() @ [1, 2]
    angle = values[RATCHET].to_numpy()
    alike = _centre_within(np.column_stack([z, angle]), sites)
    found: dict[str, Any] = {
        RATCHET: {
            "r2_linear": explain_linearly(z, angle),
            "r2_neighbours": explain_by_neighbours(z, angle),
            "r2_alike_in_sites": explain_linearly(alike[:, :-1], alike[:, -1]),
        }
    }
    for name in MOTIONS[1:]:
        occupied = values[name].to_numpy() > 0.5
        found[name] = {
            "auc": separate(z, occupied),
            "auc_alike_in_ratchet": _separate_within(z, occupied, angle),
            "auc_of_true_ratchet_alone": separate(angle[:, None], occupied),
        }
    return found


def _centre_within(values: FloatArray, groups: FloatArray) -> FloatArray:
    return values - pd.DataFrame(values).groupby(groups).transform("mean").to_numpy()


def _separate_within(z: FloatArray, occupied: Bools, groups: FloatArray) -> float:
    """Mean over groups of the area under the ROC curve, weighted by their sizes."""
    found = [(separate(z[groups == g], occupied[groups == g]), g) for g in np.unique(groups)]
    areas = np.array([area for area, _ in found])
    weights = np.array([(groups == g).sum() for _, g in found], np.float64)
    known = np.isfinite(areas)
    return float(np.average(areas[known], weights=weights[known])) if known.any() else float("nan")


def judge_junk(particles: pd.DataFrame, truth: RibosomeTruth) -> dict[str, float]:
    """How well contrast and log-likelihood tell junk from ribosomes (area under the ROC curve).

    Both with their squares: empty ice has too little contrast, a pair of particles too much.
    """
    junk = ~truth.good
    single = {
        name: _with_square(particles[[name]].to_numpy(np.float64))
        for name in ("contrast", "log_likelihood")
    }
    features = np.hstack(list(single.values()))
    found = {name: separate(values, junk) for name, values in single.items()}
    found["both"] = separate(features, junk)
    labels = truth.table["label"].to_numpy()
    for kind in sorted(set(labels[junk])):
        rows = truth.good | (labels == kind)
        found[f"both, {kind}"] = separate(features[rows], junk[rows])
    wrong = truth.table["wrong_pose"].to_numpy(bool)
    found["wrong poses"] = separate(features[truth.good], wrong[truth.good])
    return found


def _with_square(values: FloatArray) -> FloatArray:
    standard = (values - values.mean(0)) / np.maximum(values.std(0), 1e-12)
    return np.hstack([standard, standard**2])


# ---------------------------------------------------------------------------- maps


def judge_components(components: list[Volume], truth: RibosomeTruth) -> dict[str, Any]:
    """Correlation of every component with what each motion does, and of their span with it."""
    flat = np.array([truth.flatten(component) for component in components])
    table = np.array([[np.corrcoef(c, d)[0, 1] for d in truth.differences] for c in flat])
    centred = flat - flat.mean(1, keepdims=True)
    spans = []
    for difference in truth.differences:
        target = difference - difference.mean()
        weights = np.linalg.lstsq(centred.T, target, rcond=None)[0]
        spans.append(float(np.linalg.norm(weights @ centred) / np.linalg.norm(target)))
    return {
        "correlation": [dict(zip(MOTIONS, row.tolist(), strict=True)) for row in table],
        "carries": [MOTIONS[int(np.argmax(np.abs(row)))] for row in table],
        "carried_by": {
            motion: int(np.argmax(np.abs(table[:, m]))) + 1 for m, motion in enumerate(MOTIONS)
        },
        "correlation_of_span": dict(zip(MOTIONS, spans, strict=True)),
    }


def judge_clusters(
    maps: list[Volume], clusters: npt.NDArray[np.int64], truth: RibosomeTruth
) -> dict[str, Any]:
    """Read every motion from the differences between cluster maps and compare with the truth.

    A cluster's map minus the mean of all is fitted by the true difference maps; the coefficients
    should be the mean angle and occupancies of the cluster's ribosomes, relative to all.
    """
    count = len(maps)
    sizes = np.bincount(clusters, minlength=count)
    good = truth.good
    shares = np.array([_state_shares(truth, (clusters == c) & good) for c in range(count)])
    weights = np.bincount(clusters[good], minlength=count) / good.sum()
    flat = np.array([truth.flatten(volume) for volume in maps])
    flat = flat - np.average(flat, axis=0, weights=weights)
    expected = shares @ truth.flat_states
    expected = expected - np.average(expected, axis=0, weights=weights)
    true = shares @ truth.state_values[list(MOTIONS)].to_numpy()
    read = np.linalg.lstsq(truth.differences.T, flat.T, rcond=None)[0].T
    rows = [
        {
            "particles": int(sizes[c]),
            "junk": float(1 - good[clusters == c].mean()),
            "correlation_with_truth": float(np.corrcoef(flat[c], expected[c])[0, 1]),
            "true": dict(zip(MOTIONS, true[c].tolist(), strict=True)),
            "read_from_map": dict(zip(MOTIONS, read[c].tolist(), strict=True)),
        }
        for c in range(count)
    ]
    variances = truth.values[good][list(MOTIONS)].var().to_numpy()
    reading = {
        motion: _compare_reading(true[:, m], read[:, m], weights, float(variances[m]))
        for m, motion in enumerate(MOTIONS)
    }
    return {"clusters": rows, "reading": reading}


def _state_shares(truth: RibosomeTruth, rows: Bools) -> FloatArray:
    counts = np.bincount(truth.table["state"].to_numpy()[rows], minlength=len(truth.states))
    return counts / max(1, counts.sum())


def _compare_reading(
    true: FloatArray, read: FloatArray, weights: FloatArray, variance: float
) -> dict[str, float]:
    """Correlation and slope over clusters, weighted by their ribosomes.

    Also the share of the particles' true variance that lies between clusters: without any, there
    is nothing to read.
    """
    covariance = np.cov(true, read, aweights=weights)
    spread = np.sqrt(covariance[0, 0] * covariance[1, 1])
    between = float(
        np.average(np.square(true - np.average(true, weights=weights)), weights=weights)
    )
    return {
        "correlation": float(covariance[0, 1] / spread) if spread > 0 else float("nan"),
        "slope": float(covariance[0, 1] / max(covariance[0, 0], 1e-12)),
        "variance_between_clusters": between / variance if variance else 0.0,
    }
