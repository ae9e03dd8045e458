"""Verdicts from how images fit under different readings of their metadata."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cryosway.methods._inputs.metadata_checks import Check, make_check
from cryosway.methods._inputs.pose_hypotheses import (
    CTF_HYPOTHESES,
    GIVEN,
    POSE_HYPOTHESES,
    SHUFFLED,
    Comparison,
    Hypothesis,
    HypothesisTest,
    compare_scores,
)

FloatArray = npt.NDArray[np.float64]

_SURE = 1e-3  # p-value of an alarm
_LIKELY = 0.01  # p-value of an all-clear
_WORTH = 0.05  # of the correlation as given: a smaller gain raises no alarm
_ENOUGH_IMAGES = 200  # from which silence is an answer


@dataclass(frozen=True, eq=False)
class Trial:
    """A hypothesis, how images fit under it, and how that compares with the metadata as given."""

    hypothesis: Hypothesis
    scores: FloatArray
    against_given: Comparison

    @property
    def mean(self) -> float:
        """Mean correlation."""
        return float(self.scores.mean())


@dataclass(frozen=True, eq=False)
class Trials:
    """All hypotheses tried on the same images."""

    given: FloatArray
    shuffled: Trial
    poses: Sequence[Trial]
    ctf: Sequence[Trial]

    def to_rows(self) -> list[dict[str, Any]]:
        """Give the table of inspect.json: name, correlation, t, p-value."""
        first = {"name": GIVEN.name, "correlation": float(self.given.mean())}
        return [first] + [
            {
                "name": trial.hypothesis.name,
                "correlation": trial.mean,
                "t_against_given": trial.against_given.t,
                "p_value": trial.against_given.p_value,
            }
            for trial in (self.shuffled, *self.poses, *self.ctf)
        ]


def try_hypotheses(test: HypothesisTest, watch: Any, *, ctf: bool) -> Trials:
    """Score all hypotheses.

    Parameters
    ----------
    test : HypothesisTest
        On some images.
    watch : callable
        Called after each hypothesis.
    ctf : bool
        Whether there is a CTF whose use can be questioned.

    Returns
    -------
    Trials
    """
    given = test.score(GIVEN)
    watch()

    def run(hypothesis: Hypothesis) -> Trial:
        scores = test.score(hypothesis)
        watch()
        return Trial(hypothesis, scores, compare_scores(scores, given))

    return Trials(
        given,
        run(SHUFFLED),
        [run(one) for one in POSE_HYPOTHESES],
        [run(one) for one in CTF_HYPOTHESES] if ctf else [],
    )


def judge_trials(trials: Trials) -> list[Check]:
    """Name what is wrong with poses and CTF, or say that they are right.

    Parameters
    ----------
    trials : Trials
        From `try_hypotheses`.

    Returns
    -------
    list of dict
        The fit of the poses, then of each convention, then of the CTF.
    """
    best = find_better(trials.given, trials.poses)
    checks = [_judge_poses(trials, best)]
    checks += [_judge_one(trials, one, best) for one in trials.poses if _tells(one)]
    best_ctf = find_better(trials.given, trials.ctf)
    return checks + [_judge_one(trials, one, best_ctf or best) for one in trials.ctf]


def find_better(given: FloatArray, trials: Sequence[Trial]) -> Trial | None:
    """Find the hypothesis that fits best, if it fits surely and much better than the metadata."""
    if not trials:
        return None
    best = max(trials, key=lambda trial: trial.mean)
    gain = best.against_given
    enough = gain.gain > _WORTH * max(float(given.mean()), 1e-3)
    return best if enough and gain.p_value < _SURE else None


def _tells(trial: Trial) -> bool:
    """Tell whether a hypothesis deserves a line: combinations only if they fit better."""
    plain = trial.hypothesis.name not in (
        "rotation direction and shift sign",
        "shift unit, other way",
        "shifts left out",
    )
    return plain or trial.against_given.t > 0


def _judge_poses(trials: Trials, best: Trial | None) -> Check:
    count, given, shuffled = len(trials.given), trials.given.mean(), trials.shuffled.mean
    numbers = (
        f"{count} images correlate {given:.3f} with views of a map made from other images, and "
        f"{shuffled:.3f} with each other's poses"
    )
    against = trials.shuffled.against_given
    fits = against.gain < 0 and against.p_value < _LIKELY
    if best is not None:
        verdict, sentence = "bad", f"The poses are read wrongly: {numbers}; see below."
    elif fits:
        verdict, sentence = "good", f"The poses fit the images: {numbers}."
    elif count < _ENOUGH_IMAGES:
        verdict, sentence = "unknown", f"Too few images to tell: {numbers}."
    else:
        verdict = "bad"
        sentence = f"The poses do not fit the images: {numbers}. Do they belong together?"
    return make_check("poses", round(float(given), 4), verdict, sentence)


def _judge_one(trials: Trials, trial: Trial, best: Trial | None) -> Check:
    change, against = trial.hypothesis.change, trial.against_given
    given, found = f"{trials.given.mean():.3f}", f"{trial.mean:.3f}"
    if trial is best:
        verdict = "bad"
        sentence = (
            f"The images fit better {change} (correlation {found}) than as given ({given}): "
            f"{trial.hypothesis.cause}."
        )
    elif against.gain < 0 and against.p_value < _LIKELY:
        verdict = "good"
        sentence = f"Right as given: {change}, the correlation falls from {given} to {found}."
    elif against.t == 0:
        verdict, sentence = "unknown", f"These images fit as well {change}: it makes no difference."
    else:
        verdict = "unknown"
        sentence = f"These images do not tell: they correlate {found} {change}, {given} as given."
    return make_check(trial.hypothesis.name, round(trial.mean, 4), verdict, sentence)
