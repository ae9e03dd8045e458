"""What is said of features: supported by the images, not supported, or undecided."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from cryosway.methods._validate.feature_evidence import Asked, Evidence, solve_amplitudes
from cryosway.methods._validate.support_features import Feature, correlate

FloatArray = npt.NDArray[np.float64]

SUPPORTED, NOT_SUPPORTED, UNDECIDED = "supported", "not supported", "undecided"
_SURE, _SURE_OF_HALF = 3.0, 1.64  # standard errors
_LEAST = 0.3  # amplitude of a supported feature
_MOST_MISSING = 0.5  # amplitude that one that is not supported is surely below
_ALIKE = 0.3  # correlation of what two models have in a region
_HAS = 0.5  # amount of a feature that makes a particle one that has it


def judge_feature(
    amplitude: float, error: float, halves: list[tuple[float, float]], models_correlation: float
) -> str:
    """Judge a feature by its amplitude in the images, 1 where they have all of it.

    It is supported where the amplitude is 0.3 at least and stands out from 0 by three standard
    errors, and by 1.64 in each half-set; not supported where it is below 0.5 by two, or where what
    two independent models have there is not the same.

    Parameters
    ----------
    amplitude, error
        In all images, and its standard error.
    halves
        The same for each half-set.
    models_correlation
        Of what the models of the half-sets have there.

    Examples
    --------
    >>> judge_feature(0.9, 0.1, [(0.8, 0.15), (1.0, 0.15)], 0.9)
    'supported'
    >>> judge_feature(0.1, 0.1, [(0.2, 0.15), (0.0, 0.15)], 0.9)
    'not supported'
    >>> judge_feature(0.5, 0.4, [(0.5, 0.6), (0.5, 0.6)], 0.9)
    'undecided'
    >>> judge_feature(0.9, 0.1, [(0.8, 0.15), (1.0, 0.15)], 0.1)
    'not supported'
    """
    if models_correlation < _ALIKE:
        return NOT_SUPPORTED
    in_both = all(found > _SURE_OF_HALF * wide for found, wide in halves)
    if amplitude >= _LEAST and amplitude > _SURE * error and in_both:
        return SUPPORTED
    return NOT_SUPPORTED if amplitude + 2 * error < _MOST_MISSING else UNDECIDED


@final
@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features, and what images of both half-sets say of them.

    Attributes
    ----------
    features
        F of them.
    asked, evidence
        Two each: of the images of a half-set, by the model of the other one.
    pixel_size
        Å per voxel.
    """

    features: list[Feature]
    asked: list[Asked]
    evidence: list[Evidence]
    pixel_size: float

    def rows(self, *, independent: bool) -> list[dict[str, Any]]:
        """Describe every feature, with its verdict.

        Parameters
        ----------
        independent
            Whether the models have not seen the images; else nothing is called supported.
        """
        whole = solve_amplitudes(self.evidence)
        halves = [solve_amplitudes([one]) for one in self.evidence]
        return [
            self._describe(n, whole, halves, independent=independent)
            for n in range(len(self.features))
        ]

    def _describe(
        self,
        n: int,
        whole: tuple[FloatArray, FloatArray],
        halves: list[tuple[FloatArray, FloatArray]],
        *,
        independent: bool,
    ) -> dict[str, Any]:
        one, region = self.features[n], self.features[n].region
        by_half = [(float(found[n]), float(error[n])) for found, error in halves]
        amplitude, error = float(whole[0][n]), float(whole[1][n])
        alike = correlate(self.asked[0].features[n], self.asked[1].features[n])
        verdict = judge_feature(amplitude, error, by_half, alike)
        if verdict == SUPPORTED and not independent:
            verdict = UNDECIDED
        expected, measured, errors = (
            np.concatenate([getattr(part, name)[:, n] for part in self.evidence])
            for name in ("expected", "measured", "error")
        )
        has = expected > _HAS
        mean = np.average(measured[has], weights=errors[has] ** -2.0) if has.any() else None
        return {
            "feature": n + 1,
            "of": one.of,
            "change": "added" if region.sign > 0 else "missing",
            "centre_angstrom": (self.pixel_size * region.centre).round(1).tolist(),
            "volume_cubic_angstrom": round(region.voxels * self.pixel_size**3),
            "verdict": verdict,
            "amplitude": amplitude,
            "amplitude_error": error,
            "amplitude_halves": [found for found, _ in by_half],
            "amplitude_halves_error": [wide for _, wide in by_half],
            "models_correlation": alike,
            "particles": int(has.sum()),
            "measured_in_these": mean,
            **self._compare_maps(one),
        }

    def _compare_maps(self, feature: Feature) -> dict[str, Any]:
        """Compare maps of the particles of a feature's state, from half-sets, in its region."""
        state = feature.state
        if state is None:
            return {"maps_correlation": None, "n_effective": None}
        inside = feature.weight > 0
        shown = [(part.maps[state] - part.maps[-1])[inside] for part in self.evidence]
        weight = np.concatenate([part.state_probability[:, state] for part in self.evidence])
        effective = weight.sum() ** 2 / max(np.square(weight).sum(), 1e-30)
        return {"maps_correlation": correlate(*shown), "n_effective": float(effective)}


def say_support(
    table: list[dict[str, Any]], extra: list[dict[str, Any]], *, independent: bool
) -> list[str]:
    """Say of every feature whether it is in the images."""
    said = [_say_extra(one) for one in extra] + [_say_feature(row) for row in table]
    if not independent:
        said.append(
            "Support: there is no model that has not seen these images, and a model makes density "
            "of the noise that it has seen, so nothing is called supported; fit cryosway vae to "
            "the particles and validate that."
        )
    return said


def _say_feature(row: dict[str, Any]) -> str:
    place = ", ".join(f"{x:.0f}" for x in row["centre_angstrom"])
    text = (
        f"Support: the density {row['change']} in {row['of']} at ({place}) Å from the centre is "
        f"{row['verdict']}: "
    )
    if row["models_correlation"] < _ALIKE:
        return text + (
            "two models, each of half of the particles, do not agree on what is there "
            f"(correlation {row['models_correlation']:.2f})."
        )
    text += (
        f"images have {row['amplitude']:.2f} ± {row['amplitude_error']:.2f} of what a model that "
        "has not seen them foretells (1: all; 0: nothing; by half-set "
        f"{row['amplitude_halves'][0]:.2f} and {row['amplitude_halves'][1]:.2f})."
    )
    if row["verdict"] == SUPPORTED:
        text += f" {row['particles']:,} particles have at least half of it."
    return text


def _say_extra(one: dict[str, Any]) -> str:
    first, second = one["amplitude"]
    return (
        f"Support: the model has density of {one['voxels']} voxels that the maps of the half-sets "
        f"have not ({100 * first:.0f} % and {100 * second:.0f} % of it): it is {NOT_SUPPORTED}, "
        "whatever it does in single states."
    )


def sum_up(table: list[dict[str, Any]], extra: list[dict[str, Any]]) -> str:
    """Count the verdicts."""
    counts = dict.fromkeys((SUPPORTED, NOT_SUPPORTED, UNDECIDED), 0)
    for row in table:
        counts[row["verdict"]] += 1
    counts[NOT_SUPPORTED] += len(extra)
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)
