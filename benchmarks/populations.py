"""Populations with 90 % intervals: how often do they hold the truth?

Latent tables with known answers, no images: particles of 3 to 16 states, of unequal populations,
some of which overlap within the particles' errors (which differ between particles and directions);
and of one continuous coordinate, at three sizes of the error: with two basins, or of a motion that
slows down to a stop at both ends, so that its density has edges. What a method gives
are posterior means under its prior, and these are what the tables hold. Counted is how often the
intervals of `cryosway states` hold the population that the particles were drawn from; beside it,
those that counting particles by the nearest state (or by their posterior mean) would give. Where
too few states are found, as when one of 50 particles lies in the tail of another, the truth of a
state found is that of all states that are nearest to it; of one that nobody planted it is 0.

With --job and --truth (as many of each) also of images: finished jobs of `cryosway linear` on
simulated sets of many states along one motion. Where a state truly is along the first direction is
the mean of its particles' likelihoods. The populations of five intervals are counted in the truth:
of equal lengths, and of equally many states; the motion slows down at its ends, so that the latter
are cut where states are nearer to each other than a tenth of a particle's error.

    python benchmarks/populations.py --job linear_adk_snr0.03 --truth adk_snr0.03/truth.parquet
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _measure import make_parser, write_result

import cryosway as cs
from cryosway.engine import read_json, read_table, write_json
from cryosway.landscape import (
    LatentDensity,
    choose_mixture,
    cover_cells,
    deconvolve,
    fit_principal_axes,
    join_components,
    measure_populations,
    weigh_evidence,
)
from cryosway.methods._landscape.populations import read_evidence

Array = np.ndarray
STATES = ((3, 2, 80), (5, 2, 20), (8, 2, 14), (12, 3, 8), (16, 3, 6))  # states, axes, tables
ERRORS = (0.4, 0.7, 1.1)  # of the continuous coordinate, whose basins are 5 apart
PARTICLES = 5000
REACH = 1.645
EDGES = np.array([-7.0, -3.0, -1.0, 1.0, 3.0, 7.0])
STOP = 3.0  # where the slowing motion ends, at both sides


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--job", type=Path, nargs="*", default=[], help="of linear")
    parser.add_argument("--truth", type=Path, nargs="*", default=[], help="truth.parquet")
    parser.add_argument("--share", type=float, default=1.0, help="of the tables, for a quick look")
    return parser.parse_args()


def hold_truth(intervals: Array, truth: Array) -> int:
    """Count intervals (n, 2) that hold the truth (n,)."""
    return int(((intervals[:, 0] <= truth) & (truth <= intervals[:, 1])).sum())


def count_naively(shares: Array) -> Array:
    """Intervals of shares that were counted as if every particle were sure."""
    sd = np.sqrt(shares * (1 - shares) / PARTICLES)
    return np.stack([shares - REACH * sd, shares + REACH * sd], axis=1)


def shrink(points: Array, sd: Array, prior: Array) -> tuple[Array, Array]:
    """Posterior means and variances of points seen with errors, under a Gaussian prior."""
    variance = 1 / (1 / sd**2 + 1 / prior)
    return variance * points / sd**2, variance


def place_centres(rng: np.random.Generator, count: int, axes: int, apart: float) -> Array:
    """Draw centres, no two nearer than `apart`."""
    side = 1.4 * apart * count ** (1 / axes)
    centres: list[Array] = []
    while len(centres) < count:
        tried = rng.uniform(-side / 2, side / 2, axes)
        if all(np.linalg.norm(tried - other) > apart for other in centres):
            centres.append(tried)
    return np.array(centres)


def try_states(seed: int, count: int, axes: int) -> dict[str, int]:
    """One table of states: 3.2 typical errors apart at least, each 0.4 wide."""
    rng = np.random.default_rng(seed)
    centres = place_centres(rng, count, axes, 3.2)
    truth = np.maximum(rng.dirichlet(np.full(count, 3.0)), 0.15 / count)
    truth /= truth.sum()
    state = rng.choice(count, PARTICLES, p=truth)
    z = centres[state] + 0.4 * rng.normal(size=(PARTICLES, axes))
    sd = np.exp(0.3 * rng.normal(size=(PARTICLES, 1)) + 0.2 * rng.normal(size=(PARTICLES, axes)))
    prior = z.var(axis=0)
    means, variances = shrink(z + sd * rng.normal(size=z.shape), sd, prior)
    evidence = weigh_evidence(means, variances, (np.zeros(axes), np.diag(prior)))
    mixture = choose_mixture(evidence, count + 4)
    states = join_components(mixture)
    found = measure_populations(mixture, evidence).join(states)
    number = len(found.shares)
    middle = np.array(
        [np.average(mixture.centres[states == s], axis=0, weights=mixture.shares[states == s])
         for s in range(number)]
    )  # fmt: skip
    match = ((centres[:, None] - middle) ** 2).sum(-1).argmin(1)
    planted = np.bincount(match, truth, minlength=number)
    nearest = ((means[:, None] - middle) ** 2).sum(-1).argmin(1)
    naive = count_naively(np.bincount(nearest, minlength=number) / PARTICLES)
    return {
        "intervals": number,
        "held": hold_truth(found.intervals(), planted),
        "held_naive": hold_truth(naive, planted),
        "tables": 1,
        "other_number": int(number != count),
    }


def free_energy(x: Array) -> Array:
    """Free energy of the continuous coordinate, kT: two uneven basins, the walls rippled."""
    return 0.02 * x**4 - 0.35 * x**2 + 0.25 * x + 0.5 * np.cos(1.5 * x)


def try_basins(seed: int, error: float) -> dict[str, int]:
    """One table of two basins: populations of five intervals, and free energies."""
    grid = np.linspace(-7, 7, 7001)
    p = np.exp(-free_energy(grid))
    density, tally = try_continuous(seed, error, grid, p / p.sum(), EDGES)
    axis = density.axes[0]
    _, low_energy, high_energy = density.free_energy()
    truth = free_energy(axis) - free_energy(axis[density.shares.argmax()])
    within = truth < 4
    ends = np.stack([low_energy, high_energy], axis=1)[within]
    return tally | {"energies": int(within.sum()), "energies_held": hold_truth(ends, truth[within])}


def try_stops(seed: int, error: float) -> dict[str, int]:
    """One table of a motion with the pace of a pendulum: populations of five equal intervals."""
    grid = STOP * np.linspace(-1, 1, 6003)[1:-1]
    p = 1 / np.sqrt(STOP**2 - grid**2)
    edges = STOP * np.linspace(-1, 1, 6)
    edges[[0, -1]] = -np.inf, np.inf
    return try_continuous(seed, error, grid, p / p.sum(), edges)[1]


def try_continuous(
    seed: int, error: float, grid: Array, p: Array, edges: Array
) -> tuple[LatentDensity, dict[str, int]]:
    """Draw one table from p on a grid; give the density found, and how often intervals hold."""
    rng = np.random.default_rng(seed)
    z = rng.choice(grid, PARTICLES, p=p)
    sd = error * np.exp(0.3 * rng.normal(size=PARTICLES))
    prior = np.array([(grid**2 * p).sum()])
    means, variances = shrink((z + sd * rng.normal(size=PARTICLES))[:, None], sd[:, None], prior)
    density = deconvolve(weigh_evidence(means, variances, (np.zeros(1), np.diag(prior))))
    tally = {"intervals": 0, "held": 0, "held_naive": 0, "tables": 1}
    for low, high in itertools.pairwise(edges):
        truth = np.array([p[(grid >= low) & (grid < high)].sum()])
        interval = np.array([density.population(cover_cells(density.axes[0], low, high))[1:]])
        counted = np.array([((means >= low) & (means < high)).mean()])
        tally["intervals"] += 1
        tally["held"] += hold_truth(interval, truth)
        tally["held_naive"] += hold_truth(count_naively(counted), truth)
    return density, tally


def try_images(job: Path, truth: Path) -> dict[str, Any]:
    """Populations of five intervals, cut between states, along the first direction of a job."""
    opened = cs.open_job(job)
    axes = fit_principal_axes(opened.latents, opened.latent_sd)
    evidence = read_evidence(opened, axes, (0,))
    state = read_table(truth)["state"].to_numpy()[opened.particles["index"]]
    shares = np.bincount(state) / len(state)
    variances = evidence.covariances[evidence.classes, 0, 0]
    places = np.bincount(state, evidence.centres[:, 0] / variances)
    places /= np.bincount(state, 1 / variances)
    away = (evidence.centres[:, 0] - places[state]) ** 2
    density = deconvolve(evidence)
    at = axes.project(opened.latents)[:, 0]
    ranked = np.sort(places)
    between = (ranked[1:] + ranked[:-1]) / 2
    equal = np.linspace(ranked[0], ranked[-1], 6)[1:-1]
    cuts = {
        "of equal lengths": between[np.abs(between[:, None] - equal).argmin(axis=0)],
        "of equally many states": between[np.linspace(0, len(places), 6).astype(int)[1:-1] - 1],
    }
    found: dict[str, Any] = {"variance_over_stated": float((away / variances).mean())}
    for name, inner in cuts.items():
        rows = []
        for low, high in itertools.pairwise([-np.inf, *inner, np.inf]):
            share, least, most = density.population(cover_cells(density.axes[0], low, high))
            rows.append({
                "from": low, "to": high, "population": share, "interval": [least, most],
                "truth": shares[(places >= low) & (places < high)].sum(),
                "counted": float(((at >= low) & (at < high)).mean()),
            })  # fmt: skip
        held = sum(row["interval"][0] <= row["truth"] <= row["interval"][1] for row in rows)
        found[name] = {"intervals": rows, "held": held}
    return found


def list_cases(share: float) -> Iterator[tuple[str, int, Callable[[int], dict[str, Any]]]]:
    """Name, number of tables and trial of every case."""
    for name, trial in (("basins", try_basins), ("stops", try_stops)):
        for error in ERRORS:
            yield f"{name}, error {error}", round(40 * share), partial(trial, error=error)
    for count, axes, tables in STATES:
        trial = partial(try_states, count=count, axes=axes)
        yield f"{count} states", max(1, round(tables * share)), trial


def run_case(tables: int, trial: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
    """Add up the tallies of all tables of a case."""
    began, total = time.process_time(), {}
    for seed in range(tables):
        for name, value in trial(seed).items():
            total[name] = total.get(name, 0) + value
    intervals = max(total.get("intervals", 0), 1)
    total["coverage"] = total.get("held", 0) / intervals
    total["coverage_naive"] = total.get("held_naive", 0) / intervals
    if "energies" in total:
        total["coverage_energy"] = total["energies_held"] / total["energies"]
    total["cpu_s_per_table"] = (time.process_time() - began) / tables
    return total


def main() -> None:
    """Run the cases that were not run before, and write what they gave."""
    arguments = parse_arguments()
    cache = arguments.cache / "populations.json"
    known = read_json(cache) if cache.exists() else {}
    for name, tables, trial in list_cases(arguments.share):
        if known.get(name, {}).get("tables") != tables:
            known[name] = run_case(tables, trial)
            cache.parent.mkdir(parents=True, exist_ok=True)
            write_json(cache, known)
        print(name, {key: round(value, 3) for key, value in known[name].items()}, flush=True)
    found = {"particles": PARTICLES, "cases": known}
    pairs = zip(arguments.job, arguments.truth, strict=True)
    found["images"] = {job.name: try_images(job, truth) for job, truth in pairs}
    write_result(arguments.results, "populations", found)


if __name__ == "__main__":
    main()
