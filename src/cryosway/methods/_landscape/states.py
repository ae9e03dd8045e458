"""`states`: discrete states of a landscape, their populations and free energies."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.engine import (
    FolderLock,
    clear_leftovers,
    explain_os_errors,
    read_table,
    show_stage,
    write_json,
    write_table,
)
from cryosway.jobs import Job, open_job, read_verdict
from cryosway.landscape import (
    LatentEvidence,
    MapRequest,
    Mixture,
    Populations,
    PrincipalAxes,
    choose_mixture,
    cluster_by_density,
    count_real_directions,
    count_support,
    cover_cells,
    fit_principal_axes,
    flag_outliers,
    join_components,
    keep_stage,
    measure_populations,
    note_decisions,
    read_latents,
    reweigh,
    write_maps,
)
from cryosway.methods._landscape.options import StatesOptions
from cryosway.methods._landscape.populations import measure_density, read_evidence, weigh_views
from cryosway.methods._motions.intervals import parse_interval
from cryosway.report import plot_free_energy, plot_state_populations, write_figure

FloatArray = npt.NDArray[np.floating]
STATES_NAME = "states.json"
MOST_COORDINATES = 4
MOST_STATES = 16
PROFILES = 3
FIT_AT_MOST = 50_000
"""Beyond so many particles the mixture is fitted to, and its intervals are of, an even sample."""


def states(job: Job | str | Path, **options: Any) -> Job:
    """Find the states of a job's landscape, and how many molecules are in each.

    A mixture of Gaussians is fitted to what the images say of the latents, without the errors of
    the particles and without the method's prior; components with no barrier between them are one
    state. Populations come with intervals, as counted and as they would be if all views were as
    common; free energies −kT ln p are drawn along the leading directions and in their plane.

    Adds columns ``state``, ``state_probability``, ``density_cluster`` and ``outlier`` to
    ``particles.parquet``; writes ``states.json``, ``figures/free_energy.png``,
    ``figures/states.png`` and a map of each state.

    Parameters
    ----------
    job : Job or path
        Any job whose particles have latents.
    **options
        See `StatesOptions`: coordinates, most_states, choose, barrier, interval, coverage,
        density_clusters, maps, seed.

    Returns
    -------
    Job
        The job, opened again.

    Raises
    ------
    CryoswayError
        When the job has no latents, or cannot be written.

    Examples
    --------
    >>> import cryosway as cs
    >>> job = cs.states("job2")  # doctest: +SKIP
    >>> job.particles["state"].value_counts()  # doctest: +SKIP
    """
    settings = StatesOptions.check("states", options)
    opened = open_job(job)
    folder = opened.main.path
    read_latents(opened)
    with explain_os_errors(folder), FolderLock(folder):
        clear_leftovers(folder)
        view = _View.of(opened, settings)
        found = _find_states(view)
        summary = _summarise(view, found)
        with show_stage("columns and pictures"):
            _write_columns(view, found)
            write_json(folder / STATES_NAME, summary)
            _write_figures(folder, summary)
        if settings.maps:
            requests = list(_plan_maps(view, found))
            write_maps(opened.main, folder, requests, kinds=("state",))
        note_decisions(folder, list(_tell(view, found)))
    return open_job(opened.path)


@final
@dataclass(frozen=True, eq=False)
class _View:
    """A landscape as states are looked for in it.

    Attributes
    ----------
    job
        With latents.
    options
        Of the command.
    axes
        Principal axes of the latents.
    size
        Number of leading directions in use.
    homogeneous
        Whether no differences between particles were found, and the user does not ask to look.
    """

    job: Job
    options: StatesOptions
    axes: PrincipalAxes
    size: int
    homogeneous: bool

    @classmethod
    def of(cls, job: Job, options: StatesOptions) -> "_View":
        verdict, main = read_verdict(job), job.main
        axes = fit_principal_axes(main.latents, main.latent_sd)
        standing = max(1, int((axes.variance > 1).sum()))
        real = count_real_directions(job, verdict, MOST_COORDINATES) if verdict.word else standing
        size = min(options.coordinates or min(real, MOST_COORDINATES), main.latents.shape[1])
        asked = options.coordinates is not None or options.most_states is not None
        return cls(main, options, axes, size, verdict.homogeneous and not asked)

    @cached_property
    def coordinates(self) -> FloatArray:
        """Principal coordinates of the particles, shape (N, K)."""
        return self.axes.project(self.job.latents)

    @cached_property
    def evidence(self) -> LatentEvidence:
        """What the images say of the leading coordinates."""
        return read_evidence(self.job, self.axes, tuple(range(self.size)))

    @cached_property
    def view_weights(self) -> FloatArray | None:
        """Weights that make views even, or None."""
        return weigh_views(self.job.particles)

    @property
    def sample(self) -> slice:
        """An even sample of the particles."""
        return slice(None, None, max(1, -(-len(self.job.latents) // FIT_AT_MOST)))

    @property
    def second_half(self) -> npt.NDArray[np.bool_]:
        """Which particles are of half-set 2, shape (N,); every other one where none are known."""
        table = self.job.particles
        if "half" in table:
            return (table["half"] == 2).to_numpy()
        return np.arange(len(table)) % 2 == 1


@final
@dataclass(frozen=True, eq=False)
class _States:
    """The states of a landscape.

    Attributes
    ----------
    mixture
        Of the deconvolved latents.
    states
        State of each component, from 0.
    populations
        Of the states.
    even
        The same if views were even, or None.
    halves
        Shares of the states in each half-set, shape (2, S).
    probabilities
        Of each particle for each state, shape (N, S).
    """

    mixture: Mixture
    states: npt.NDArray[np.int64]
    populations: Populations
    even: Populations | None
    halves: FloatArray
    probabilities: FloatArray

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Likeliest state of each particle, from 0, shape (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1))


def _find_states(view: _View) -> _States:
    options, evidence = view.options, view.evidence.take(view.sample)
    halves = view.second_half[view.sample]
    most = 1 if view.homogeneous else options.most_states or MOST_STATES
    judged = halves if options.choose == "held-out" else None
    mixture = _choose_mixture(view, evidence, most, judged)
    states = join_components(mixture, options.barrier)
    even = None
    if view.view_weights is not None:
        weights = view.view_weights[view.sample]
        even = measure_populations(reweigh(mixture, evidence, weights), evidence, weights)
    parts = [
        reweigh(mixture, evidence.take(np.flatnonzero(halves == side))).shares
        for side in (False, True)
        if (halves == side).any()
    ]
    adding = states == np.arange(states.max() + 1)[:, None]
    return _States(
        mixture,
        states,
        measure_populations(mixture, evidence).join(states),
        None if even is None else even.join(states),
        np.array(parts) @ adding.T,
        mixture.assign(view.evidence) @ adding.T,
    )


def _choose_mixture(
    view: _View, evidence: LatentEvidence, most: int, halves: npt.NDArray[np.bool_] | None
) -> Mixture:
    """Choose the mixture, once for the same evidence and options."""
    seed = view.options.seed
    kept = keep_stage(
        view.job.path, "mixture", (*vars(evidence).values(), most, halves, seed),
        lambda: vars(choose_mixture(evidence, most, halves=halves, seed=seed)),
    )  # fmt: skip
    return Mixture(**{**kept, "log_likelihood": float(kept["log_likelihood"])})


def _summarise(view: _View, found: _States) -> dict[str, Any]:
    """Give the content of states.json."""
    mixture, coverage = found.mixture, view.options.coverage
    profiles = min(view.size, PROFILES)
    return {
        "options": view.options,
        "coordinates": view.size,
        "coverage": coverage,
        "axes": view.axes,
        "components": [
            {"state": state + 1, "share": share, "centre": centre, "covariance": covariance}
            for state, share, centre, covariance in zip(
                found.states, mixture.shares, mixture.centres, mixture.covariances, strict=True
            )
        ],
        "states": list(_describe_states(view, found)),
        "intervals": [_measure_interval(view, text) for text in view.options.interval],
        "profiles": [_draw_profile(view, k, coverage) for k in range(profiles)],
        "plane": _draw_plane(view, coverage) if view.size > 1 else None,
    }


def _describe_states(view: _View, found: _States) -> Any:
    coverage = view.options.coverage
    intervals = found.populations.intervals(coverage)
    energies, ends = found.populations.free_energies(coverage)
    even_intervals = None if found.even is None else found.even.intervals(coverage)
    counted = np.bincount(found.labels, minlength=len(energies)) / len(found.labels)
    for number, share in enumerate(found.populations.shares):
        yield {
            "state": number + 1,
            "population": share,
            "population_interval": intervals[number],
            "population_even_views": None if found.even is None else found.even.shares[number],
            "population_even_views_interval": None
            if even_intervals is None
            else even_intervals[number],
            "population_of_halves": found.halves[:, number],
            "counted": counted[number],
            "free_energy": energies[number],
            "free_energy_interval": ends[number],
            "centre": _find_centre(view, found, number),
        }


def _find_centre(view: _View, found: _States, number: int) -> FloatArray:
    """Give principal coordinates, shape (K,), of the middle of a state's largest component.

    In the directions in which states are not told apart, the mean of its particles.
    """
    weights = found.probabilities[:, number]
    centre = weights @ view.coordinates / max(float(weights.sum()), 1e-12)
    shares = np.where(found.states == number, found.mixture.shares, 0.0)
    centre[: view.size] = found.mixture.centres[shares.argmax()]
    return np.asarray(centre)


def _measure_interval(view: _View, text: str) -> dict[str, Any]:
    """Give the population between two values of a principal coordinate."""
    name, low, high = parse_interval(text)
    known = [f"pc{number}" for number in range(1, len(view.axes.scale) + 1)]
    if name not in known:
        message = f"{text!r} is not along a principal direction; there are {', '.join(known)}"
        raise CryoswayError(message)
    density = measure_density(view.job, view.axes, (known.index(name),))
    share, least, most = density.population(
        cover_cells(density.axes[0], low, high), view.options.coverage
    )
    ends = [low, high]
    return {"along": name, "ends": ends, "population": share, "interval": [least, most]}


def _draw_profile(view: _View, direction: int, coverage: float) -> dict[str, Any]:
    density = measure_density(view.job, view.axes, (direction,))
    energy, low, high = density.free_energy(coverage)
    return {
        "direction": direction + 1,
        "coordinate": density.axes[0],
        "share": density.shares,
        "energy": energy,
        "low": low,
        "high": high,
    }


def _draw_plane(view: _View, coverage: float) -> dict[str, Any]:
    density = measure_density(view.job, view.axes, (0, 1))
    energy, low, high = density.free_energy(coverage)
    return {
        "coordinates": density.axes,
        "share": density.shares,
        "energy": np.round(energy, 4),
        "low": np.round(low, 4),
        "high": np.round(high, 4),
    }


def _write_columns(view: _View, found: _States) -> None:
    path = view.job.path / "particles.parquet"
    table = read_table(path)
    table["state"] = (found.labels + 1).astype(np.int32)
    table["state_probability"] = found.probabilities.max(axis=1)
    table["outlier"] = flag_outliers(table, view.job.latents, view.job.latent_sd).astype(str)
    if view.options.density_clusters:
        table["density_cluster"] = cluster_by_density(view.coordinates[:, : view.size])
    write_table(path, table)


def _write_figures(folder: Path, summary: dict[str, Any]) -> None:
    drawn = {
        "free_energy": plot_free_energy(summary),
        "states": plot_state_populations(summary),
    }
    for name, figure in drawn.items():
        write_figure(folder / "figures" / f"{name}.png", figure)


def _plan_maps(view: _View, found: _States) -> Any:
    for number, share in enumerate(found.populations.shares, start=1):
        latent = view.axes.lift(_find_centre(view, found, number - 1))
        support = count_support(latent, view.job.latents, view.job.latent_sd, view.axes.scale)
        extra = {"state": number, "population": round(float(share), 4)}
        name = f"state_{number:02d}"
        yield MapRequest(name, "state", f"state {number}", latent, support, extra)


def _tell(view: _View, found: _States) -> Any:
    count, components = int(found.states.max()) + 1, len(found.mixture)
    rule = "BIC" if view.options.choose == "bic" else "held-out likelihood"
    why = (
        f"a mixture of {components} Gaussian{'s' if components > 1 else ''} has the best {rule} in "
        f"{view.size} direction{'s' if view.size > 1 else ''}; those without a barrier of "
        f"{view.options.barrier:g} kT between them are one state"
    )
    if view.homogeneous:
        why = "the particles were found homogeneous"
    yield {"what": "number of states", "value": count, "why": why}
