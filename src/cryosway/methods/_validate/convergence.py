"""Convergence: whether the training of a job had come to rest when it ended."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cryosway.methods._validate.parts import Finding, Picture
from cryosway.methods._validate.subject import REFITTED, Subject
from cryosway.optics import make_disc
from cryosway.report import plot_losses
from cryosway.validate import CurveEnd, measure_curve_end

FloatArray = npt.NDArray[np.float64]

_AT_REST = 0.01  # fall per epoch, of all that the loss has fallen
_AT_REST_NATS = 0.05  # fall per epoch and particle
_SAME_SPACE = 0.99  # overlap of components between iterations
_LOSSES = ("loss", "misfit", "kl")


def check_convergence(subject: Subject) -> Finding:
    """Judge the curve that a job has kept of its training in ``metrics.csv``.

    Of `linear`, how far the components turned in the last step; of a network, how much the loss
    still fell per epoch; and whether held-out particles are described better than without it.
    """
    metrics = pd.read_csv(subject.job.path / "metrics.csv")
    held = subject.job.info.get("held_out") or {}
    finding = (
        _check_iterations(metrics)
        if "overlap" in metrics
        else _check_epochs(metrics, _count_points(subject))
    )
    if not held:
        return finding
    return Finding(
        finding.verdict,
        [*finding.sentences, _say_held_out(held)],
        finding.found | {"held_out": held},
        pictures=finding.pictures,
    )


def _check_iterations(metrics: pd.DataFrame) -> Finding:
    last = metrics[metrics["stage"] == metrics["stage"].iloc[-1]]
    overlap = float(last["overlap"].iloc[-1])
    rest = overlap >= _SAME_SPACE
    verdict = "converged" if rest else "not converged"
    said = (
        f"Convergence: {verdict}. In the last of {len(metrics)} iterations the space of the "
        f"components overlapped with that before by {100 * overlap:.3g} %"
    )
    said += "." if rest else "; give more --iterations."
    return Finding(verdict, [said], {"overlap": overlap, "iterations": len(metrics)})


def _count_points(subject: Subject) -> int | None:
    """Fourier points of an image, which the losses of our networks are means over."""
    radius = subject.job.info.get("radius")
    if radius is None or subject.command not in REFITTED:
        return None
    return len(make_disc(subject.job.box, int(radius)).points)


def _check_epochs(metrics: pd.DataFrame, points: int | None) -> Finding:
    """Judge losses per epoch."""
    if "over" in metrics:
        metrics = metrics[metrics["over"] == "epoch"]
    again = np.flatnonzero(np.diff(metrics["epoch"]) <= 0)  # latents of held-out particles
    metrics = metrics.iloc[: again[0] + 1] if len(again) else metrics
    curves = {name: metrics[name].to_numpy(np.float64) for name in _LOSSES if name in metrics}
    end = measure_curve_end(curves["loss"])
    epochs = len(metrics)
    found: dict[str, Any] = {"epochs": epochs} | ({} if end is None else vars(end))
    caption = "Loss by epoch; the part that is judged is drawn thick."
    picture = Picture("convergence", plot_losses(curves), caption)
    verdict = _judge(end, points)
    said = _say_epochs(verdict, end, epochs)
    return Finding(verdict, [said], found, pictures=[picture])


def _judge(end: CurveEnd | None, points: int | None) -> str:
    """Judge the end of a curve: at rest by what it has fallen, or by nats of each particle."""
    if end is None:
        return "too short to tell"
    if end.rises:
        return "diverges at the end"
    little = points is not None and -end.slope * points <= _AT_REST_NATS
    return "converged" if end.remaining <= _AT_REST or little else "not converged"


def _say_epochs(verdict: str, end: CurveEnd | None, epochs: int) -> str:
    if end is None:
        return f"Convergence: {epochs} epochs are too few to tell."
    said = (
        f"Convergence: {verdict}. At the end of {epochs} epochs the loss "
        f"{'rose' if end.slope > 0 else 'fell'} by {abs(end.slope):.2g} per epoch "
        f"(± {end.slope_error:.1g}), {100 * end.remaining:.2g} % of all that it has fallen"
    )
    return said + ("; give more --epochs." if verdict == "not converged" else ".")


def _say_held_out(held: dict[str, Any]) -> str:
    if sentence := held.get("sentence"):
        return f"Held-out particles: {sentence}"
    difference, error = held.get("difference"), held.get("standard_error")
    if difference is None:
        return f"{held['particles']} particles were held out, with nothing to compare them by."
    return (
        f"Of {held['particles']} particles that were held out, the network describes each better "
        f"than the linear model by {difference:.2g} ± {error:.2g} nats ({held['better']})."
    )
