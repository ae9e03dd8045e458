"""A set as real ones are: 70S ribosomes that ratchet and bind tRNA, among junk.

Views, shifts and defocus are rows of EMPIAR-10076, noise has its spectrum, poses are in error and
15 % of the images are junk. The method sees none of the truth; afterwards the truth says which
component and which differences between maps carry the ratchet and the tRNAs, how well latents tell
them, and whether junk stands out.

    python benchmarks/ribosome.py --images 20000
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _datasets import build_ribosome
from _measure import make_parser, method_command, parse_options, write_result
from _ribosome_truth import (
    MOTIONS,
    RATCHET,
    RibosomeTruth,
    judge_clusters,
    judge_components,
    judge_junk,
    judge_latents,
)
from _scoring import FloatArray, Volume, load_volumes

import cryosway as cs
from cryosway.engine import Cost, recall_cost, run_measured, set_threads
from cryosway.simulate import SimulatedSet

FINEST_COMPARED = 12.0  # Å


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--images", type=int, default=20_000, help="use the first of the 20,000")
    parser.add_argument("--method", choices=("linear", "run"), default="linear")
    parser.add_argument("--clusters", type=int, default=8)
    parser.add_argument("--reuse", action="store_true", help="judge a job that is there already")
    parser.add_argument("--option", nargs="*", default=[], help="of the method, as null_tests=2")
    return parser.parse_args()


def take_first(made: SimulatedSet, count: int) -> Path:
    """STAR file of the first particles."""
    particles = cs.read_particles(made.particles)
    if count >= len(particles):
        return made.particles
    path = made.path.parent / f"{made.path.name}_first{count}.star"
    return particles[:count].write(path, absolute_paths=True)


def fit(made: SimulatedSet, arguments: argparse.Namespace) -> tuple[cs.Job, Cost]:
    """Run the method, or recall an earlier run."""
    particles = take_first(made, arguments.images)
    out = arguments.cache / "jobs" / f"{arguments.method}_ribosome_{arguments.images}"
    log = out.with_suffix(".log")
    earlier = recall_cost(log) if arguments.reuse and (out / "job.json").exists() else None
    if earlier is None:
        options = {"seed": arguments.seed, **parse_options(arguments.option)}
        command = method_command(arguments.method, particles, out, options, arguments.threads)
        earlier = run_measured(command, log, arguments.threads)
    return cs.open_job(out), earlier


def list_components(job: cs.Job) -> list[Volume]:
    """Maps of the components, in order."""
    files = [entry["file"] for entry in job.main.volumes if entry["kind"] == "component"]
    return load_volumes([job.main.path / "volumes" / file for file in files])


def make_clusters(
    latents: FloatArray, count: int, seed: int
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """K-means: cluster of every particle (N,), and centres (count, K)."""
    from sklearn.cluster import KMeans

    found = KMeans(count, n_init=10, random_state=seed).fit(latents)
    return found.labels_.astype(np.int64), found.cluster_centers_


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fit, then judge everything by the truth."""
    made = build_ribosome(arguments.cache, data=arguments.data)
    job, cost = fit(made, arguments)
    set_threads(arguments.threads)
    info = job.main.info
    resolution = float(info["resolution_angstrom"])
    compared = max(FINEST_COMPARED, resolution)
    truth = RibosomeTruth.load(made, len(job.latents), job.pixel_size, compared)
    clusters, centres = make_clusters(job.latents, arguments.clusters, arguments.seed)
    maps = [job.volume(centre) for centre in centres]
    return {
        "images": len(job.latents),
        "box": job.box,
        "pixel_size": job.pixel_size,
        "method": arguments.method,
        "cost": asdict(cost),
        "timings": info.get("timings", {}),
        "resolution_angstrom": resolution,
        "compared_at_angstrom": compared,
        "components_fitted": job.latents.shape[1],
        "heterogeneity": info.get("heterogeneity"),
        "latents": judge_latents(job.latents, truth),
        "components": judge_components(list_components(job), truth),
        "maps": judge_clusters(maps, clusters, truth),
        "junk": judge_junk(job.particles, truth),
    }


def print_result(result: dict[str, Any]) -> None:
    """Print all tables."""
    cost = result["cost"]
    print(
        f"{result['images']} images of {result['box']} px: {result['method']} took "
        f"{cost['wall_s']:.0f} s, CPU {cost['cpu_s']:.0f} s, {cost['peak_memory_mb']:.0f} MB; "
        f"consensus at {result['resolution_angstrom']:.1f} Å"
    )
    _print_components(result)
    _print_clusters(result["maps"])
    ratchet = result["latents"][RATCHET]
    print(
        f"\nlatents: ratchet R² {ratchet['r2_linear']:.3f} linear, {ratchet['r2_neighbours']:.3f} "
        f"by neighbours, {ratchet['r2_alike_in_sites']:.3f} among particles with the same tRNAs"
    )
    for name in MOTIONS[1:]:
        row = result["latents"][name]
        print(
            f"  {name} present or not: AUC {row['auc']:.3f}; {row['auc_alike_in_ratchet']:.3f} "
            f"among particles of one angle (true angle alone: "
            f"{row['auc_of_true_ratchet_alone']:.3f})"
        )
    print("\njunk against ribosomes, AUC:")
    for name, value in result["junk"].items():
        print(f"  {name:16} {_show(value, 3)}")


def _print_components(result: dict[str, Any]) -> None:
    components = result["components"]
    print(
        f"\ncorrelation with the true difference maps at {result['compared_at_angstrom']:.0f} Å\n"
        "component    " + "".join(f"{motion:>10}" for motion in MOTIONS) + "   carries mostly"
    )
    for number, row in enumerate(components["correlation"], start=1):
        values = "".join(f"{row[motion]:10.3f}" for motion in MOTIONS)
        print(f"{number:9d}    {values}   {components['carries'][number - 1]}")
    spans = components["correlation_of_span"]
    print("all together " + "".join(f"{spans[motion]:10.3f}" for motion in MOTIONS))


def _print_clusters(maps: dict[str, Any]) -> None:
    print("\nmaps at cluster centres: true mean | read from the map, relative to all")
    header = "".join(f"{motion:>16}" for motion in MOTIONS)
    print(f"particles  junk  corr.{header}")
    for row in maps["clusters"]:
        pairs = "".join(
            f"{row['true'][motion]:8.2f} |{row['read_from_map'][motion]:+6.2f}"
            for motion in MOTIONS
        )
        correlation = _show(row["correlation_with_truth"], 2)
        print(f"{row['particles']:9d}  {row['junk']:4.2f}  {correlation:>5}{pairs}")
    for motion, row in maps["reading"].items():
        print(
            f"  {motion}: correlation over clusters {_show(row['correlation'], 3)}, slope "
            f"{row['slope']:.2f}, {100 * row['variance_between_clusters']:.0f} % of the particles' "
            "variance is between clusters"
        )


def _show(value: float, digits: int) -> str:
    return "–" if np.isnan(value) else f"{value:.{digits}f}"


def main() -> None:
    """Fit, judge, print and write the result."""
    arguments = parse_arguments()
    result = measure(arguments)
    print_result(result)
    write_result(
        arguments.results, "ribosome", {"options": parse_options(arguments.option), **result}
    )


if __name__ == "__main__":
    main()
