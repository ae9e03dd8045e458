"""How close a result comes to the truth that a simulation has kept."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cryosway.engine import JobFolder, write_json
from cryosway.jobs import Job
from cryosway.particles import read_map
from cryosway.simulate import SimulatedSet
from cryosway.validate import auc_fsc, fsc

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TruthComparison:
    """Latents against the true coordinate, maps against the true maps.

    Attributes
    ----------
    coordinate
        Shape (N,): true reaction coordinate of each particle, 0 to 1.
    predicted
        Shape (N,): the best linear function of the latents for it.
    states
        Coordinate of each state that was compared.
    auc_model, auc_consensus, auc_limit
        For each of these states: area under the FSC with the true map, over cycles per pixel, of
        the map at the state's mean latent and of the consensus; and the largest that there is.
    """

    coordinate: FloatArray
    predicted: FloatArray
    states: FloatArray
    auc_model: FloatArray
    auc_consensus: FloatArray
    auc_limit: float

    @property
    def r_squared(self) -> float:
        """Share of the coordinate's variance that the latents explain."""
        left = float(np.var(self.coordinate - self.predicted))
        return 1 - left / max(float(np.var(self.coordinate)), 1e-30)


def fit_coordinate(latents: FloatArray, coordinate: FloatArray) -> FloatArray:
    """Predict a coordinate by least squares from latents, shape (N,).

    Examples
    --------
    >>> z = np.array([[0.0], [1.0], [2.0]])
    >>> bool(np.allclose(fit_coordinate(z, 3 * z[:, 0] + 1), [1, 4, 7]))
    True
    """
    design = np.column_stack([np.ones(len(latents)), latents])
    weights = np.linalg.lstsq(design, coordinate, rcond=None)[0]
    return np.asarray(design @ weights, np.float64)


def compare_with_truth(job: Job, simulated: SimulatedSet, states: int) -> TruthComparison:
    """Compare a job with the truth of the simulation that its particles come from.

    Parameters
    ----------
    job : Job
        With latents and volumes on the grid of the simulation.
    simulated : SimulatedSet
        Where the truth is.
    states : int
        Number of states whose maps are compared, evenly from first to last.

    Returns
    -------
    TruthComparison
    """
    truth = simulated.truth().iloc[job.particles["index"]]
    coordinate = truth["coordinate"].to_numpy(np.float64)
    state = truth["state"].to_numpy()
    predicted = fit_coordinate(job.latents, coordinate)
    consensus, mask = _read_kind(job, "mean"), _read_kind(job, "mask")
    present = np.unique(state)
    chosen = present[np.unique(np.linspace(0, len(present) - 1, states).astype(int))]
    places, of_model, of_consensus = [], [], []
    for number in chosen:
        true_map = read_map(simulated.volumes[int(number)])[0]
        mine = state == number
        density = job.volume(job.latents[mine].mean(axis=0))
        places.append(coordinate[mine][0])
        of_model.append(auc_fsc(fsc(density * mask, true_map)))
        of_consensus.append(auc_fsc(fsc(consensus, true_map)))
    return TruthComparison(
        coordinate,
        predicted,
        np.array(places),
        np.array(of_model),
        np.array(of_consensus),
        auc_fsc(np.ones(len(consensus) // 2)),
    )


def _read_kind(job: Job, kind: str) -> npt.NDArray[np.float32]:
    entry = next(entry for entry in job.volumes if entry["kind"] == kind)
    return read_map(job.main.path / "volumes" / entry["file"])[0]


def write_comparison(job: JobFolder, found: TruthComparison) -> None:
    """Write ``supplement.json``, which the report shows as a section, and its picture."""
    from cryosway.report import write_figure

    write_figure(job.path / "figures" / "truth.png", plot_comparison(found))
    write_json(job.path / "supplement.json", describe_comparison(found))
    job.update(
        r_squared=found.r_squared,
        auc_fsc=float(found.auc_model.mean()),
        auc_fsc_consensus=float(found.auc_consensus.mean()),
    )


def describe_comparison(found: TruthComparison) -> dict[str, Any]:
    """Say the comparison in sentences and a table, for supplement.json."""
    model, consensus = found.auc_model.mean(), found.auc_consensus.mean()
    better = int((found.auc_model > found.auc_consensus).sum())
    of_latents = (
        "These particles were simulated, so the answer is known. The true coordinate of every "
        f"particle, from closed to open, follows from its latent with R² = {found.r_squared:.2f}."
    )
    of_maps = (
        f"Maps at the latents of {len(found.states)} true states agree with the true maps to an "
        f"area under the FSC of {model:.3f} on average (the largest possible is "
        f"{found.auc_limit:.3f}); the consensus map, which ignores the motion, reaches "
        f"{consensus:.3f}. The landscape's map is the better one for {better} of "
        f"{len(found.states)} states."
    )
    return {
        "title": "Comparison with the truth",
        "sentences": [of_latents, of_maps],
        "figures": [
            {
                "file": "figures/truth.png",
                "caption": "Left: true coordinate of every particle (0 closed, 1 open) against "
                "the best linear function of its latent. Right: agreement of the maps with the "
                "true map of each state.",
            }
        ],
        "header": ["true coordinate", "AUC-FSC, landscape", "AUC-FSC, consensus"],
        "rows": [
            [round(float(one), 4) for one in row]
            for row in zip(found.states, found.auc_model, found.auc_consensus, strict=True)
        ],
    }


def plot_comparison(found: TruthComparison) -> "Figure":
    """Plot predicted against true coordinate, and the agreement of maps by state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.4, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    edges = np.linspace(-0.1, 1.1, 61)
    counts = np.histogram2d(found.predicted, found.coordinate, bins=(edges, edges))[0]
    left.imshow(counts, origin="lower", extent=(-0.1, 1.1, -0.1, 1.1), cmap="Blues", aspect="auto")
    left.plot([0, 1], [0, 1], color="0.4", linewidth=0.8, linestyle="--")
    left.set_xlabel("true coordinate (0 closed, 1 open)")
    left.set_ylabel("predicted from the latent")
    left.set_title(f"R² = {found.r_squared:.2f}", loc="left", fontsize=9)
    right.plot(found.states, found.auc_model, "o-", label="map at the state's latent")
    right.plot(found.states, found.auc_consensus, "s--", color="0.5", label="consensus")
    right.axhline(found.auc_limit, color="0.7", linewidth=0.8)
    right.annotate("largest possible", (0, found.auc_limit), (0, -9), fontsize=7.5, color="0.4",
                   textcoords="offset points")  # fmt: skip
    right.set_xlabel("true coordinate")
    right.set_ylabel("area under FSC (cycles/pixel)")
    right.set_ylim(bottom=min(0.9 * float(found.auc_consensus.min()), 0.3))
    right.legend(frameon=False, fontsize=8)
    return figure
