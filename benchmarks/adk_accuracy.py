"""Accuracy of `cryosway linear` on adenylate kinase, against consensus and label oracle.

For each SNR the method runs in a process of its own (time and peak memory are its alone). Its maps
at the latents of 100 images are compared with the true state of each image: CryoBench's per-image
AUC-FSC, within one mask around all true states and without a mask. Two controls go through the
same reconstruction: the consensus of all images, and the label oracle, which pools the images of
the true state and of w neighbours on either side; of all w (and three strengths of the prior) the
best counts, as judged by the truth.

    python benchmarks/adk_accuracy.py --plot docs/images/adk_accuracy.png
"""

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from _datasets import build_adk
from _measure import make_parser, method_command, parse_options, write_result
from _scoring import (
    FloatArray,
    IntArray,
    LabelOracle,
    check_calibration,
    explain_by_neighbours,
    explain_linearly,
    load_volumes,
    score_oracle,
)

import cryosway as cs
from cryosway.engine import Cost, recall_cost, run_measured, set_threads
from cryosway.simulate import SimulatedSet
from cryosway.validate import (
    MASK_RULE,
    MapScorer,
    compare_scores,
    make_union_mask,
    score_indices,
    summarise_scores,
)

SNRS = (0.1, 0.03, 0.01)
REACHES = (0, 1, 2, 3, 4, 5, 6, 7, 1000)  # neighbouring states on either side; 1000 is all
PRIOR_SHARES = (1.0, 0.3, 0.1)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--snr", type=float, nargs="+", default=SNRS)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--scored", type=int, default=100, help="images whose maps are scored")
    parser.add_argument("--reuse", action="store_true", help="score fits that are there already")
    parser.add_argument("--option", nargs="*", default=[], help="of linear, as null_tests=2")
    parser.add_argument("--plot", type=Path, help="PNG of the scores")
    return parser.parse_args()


def fit(truth: SimulatedSet, arguments: argparse.Namespace) -> tuple[cs.Job, Cost]:
    """Run `cryosway linear`, or recall an earlier run."""
    out = arguments.cache / "jobs" / f"linear_{truth.path.name}"
    log = out.with_suffix(out.suffix + ".log")
    earlier = recall_cost(log) if arguments.reuse and (out / "job.json").exists() else None
    if earlier is None:
        options = {"seed": arguments.seed, **parse_options(arguments.option)}
        command = method_command("linear", truth.particles, out, options, arguments.threads)
        earlier = run_measured(command, log, arguments.threads)
    return cs.open_job(out), earlier


def score_job(
    job: cs.Job, scorer: MapScorer, indices: IntArray, states: IntArray
) -> tuple[FloatArray, float]:
    """Scores (n, 2) of the job's maps at the latents of images, and seconds per map."""
    start = time.perf_counter()
    scores = scorer.score_all(lambda i: job.volume(job.latents[indices[i]]), states)
    return scores, (time.perf_counter() - start) / len(indices)


def score_consensus(job: cs.Job, scorer: MapScorer, states: IntArray) -> FloatArray:
    """Scores (n, 2) of the job's mean map."""
    name = next(entry["file"] for entry in job.main.volumes if entry["kind"] == "mean")
    mean = load_volumes([job.main.path / "volumes" / name])[0]
    return scorer.score_all(lambda _: mean, states)


def name_reach(reach: int) -> int | str:
    """Neighbours pooled, or all."""
    return reach if reach < max(REACHES) else "all"


def search_oracle(
    oracle: LabelOracle, scorer: MapScorer, states: IntArray
) -> tuple[FloatArray, dict[str, Any]]:
    """Scores of the best fixed window, and what all windows reach."""
    found = {
        (share, reach): score_oracle(oracle, scorer, states, share, reach)
        for share in PRIOR_SHARES
        for reach in REACHES
    }
    best = max(found, key=lambda key: found[key][:, 0].mean())
    every_state = np.max([scores[:, 0] for scores in found.values()], axis=0)
    table = [
        {"prior_share": share, "reach": name_reach(reach), **summarise_scores(scores)}
        for (share, reach), scores in found.items()
    ]
    return found[best], {
        "best_reach": name_reach(best[1]),
        "best_prior_share": best[0],
        "best_window_of_every_state": float(every_state.mean()),
        "windows": table,
    }


def judge_latents(job: cs.Job, coordinate: FloatArray, states: IntArray) -> dict[str, Any]:
    """What latents tell about the true coordinate, and whether their sd are right."""
    found: dict[str, Any] = {
        "components": job.latents.shape[1],
        "r2_linear": explain_linearly(job.latents, coordinate),
        "r2_neighbours": explain_by_neighbours(job.latents, coordinate),
    }
    if job.latent_sd is not None:
        found["mean_squared_z"] = check_calibration(job.latents, job.latent_sd, states)
    return found


def measure(snr: float, arguments: argparse.Namespace) -> dict[str, Any]:
    """Fit and score one SNR."""
    made = build_adk(arguments.cache, snr=snr, n=arguments.images, data=arguments.data)
    truth = made.truth()
    job, cost = fit(made, arguments)
    set_threads(arguments.threads)
    every_state = truth["state"].to_numpy(np.int64)
    indices = score_indices(len(truth), arguments.scored)
    states = every_state[indices]
    volumes = load_volumes(made.volumes)
    scorer = MapScorer(volumes, make_union_mask(volumes, job.pixel_size))
    ours, seconds = score_job(job, scorer, indices, states)
    consensus = score_consensus(job, scorer, states)
    oracle_scores, oracle = search_oracle(
        LabelOracle(cs.read_particles(made.particles), every_state), scorer, states
    )
    return {
        "snr": snr,
        "images": len(truth),
        "cost": asdict(cost),
        "seconds_per_map": seconds,
        "timings": job.info.get("timings", {}),
        "heterogeneity": job.info.get("heterogeneity"),
        "linear": summarise_scores(ours),
        "consensus": summarise_scores(consensus),
        "oracle": {**summarise_scores(oracle_scores), **oracle},
        "over_consensus": compare_scores(ours, consensus),
        "over_oracle": compare_scores(ours, oracle_scores),
        "latents": judge_latents(job, truth["coordinate"].to_numpy(np.float64), every_state),
        "per_image": {
            "index": indices,
            "state": states,
            "linear": ours[:, 0],
            "consensus": consensus[:, 0],
            "oracle": oracle_scores[:, 0],
        },
    }


def print_run(run: dict[str, Any]) -> None:
    """Print the figures of one SNR."""
    cost, latents = run["cost"], run["latents"]
    print(
        f"\nSNR {run['snr']:g}: {cost['wall_s']:.0f} s, CPU {cost['cpu_s']:.0f} s, "
        f"{cost['peak_memory_mb']:.0f} MB; "
        f"{run['seconds_per_map']:.1f} s per map"
    )
    print("  AUC-FSC per image      masked         unmasked")
    for name in ("linear", "oracle", "consensus"):
        row = run[name]
        print(
            f"  {name:20} {row['masked']:.4f} ± {row['masked_sd']:.4f}"
            f"  {row['unmasked']:.4f} ± {row['unmasked_sd']:.4f}"
        )
    for name in ("consensus", "oracle"):
        row = run[f"over_{name}"]
        print(
            f"  minus {name:9} {row['difference']:+.4f} ± {row['standard_error']:.4f} (standard "
            f"error), ratio {row['ratio']:.3f}"
        )
    oracle = run["oracle"]
    print(
        f"  oracle: best window ±{oracle['best_reach']} states, prior × "
        f"{oracle['best_prior_share']:g}; best window for every state "
        f"{oracle['best_window_of_every_state']:.4f}"
    )
    squares = ", ".join(f"{z:.2f}" for z in latents.get("mean_squared_z", []))
    print(
        f"  latents: {latents['components']} components, R² {latents['r2_linear']:.3f} linear, "
        f"{latents['r2_neighbours']:.3f} by neighbours; mean squared z-score {squares}"
    )


def plot_runs(runs: list[dict[str, Any]], path: Path) -> None:
    """Draw the scores of single images against SNR, ours and the controls'."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    styles = {
        "consensus": ("#8c8c8c", "consensus (no labels, one map)"),
        "oracle": ("#d08a2e", "label oracle (best window)"),
        "linear": ("#2a6f97", "cryosway linear (no labels)"),
    }
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    rng = np.random.default_rng(0)
    for place, run in enumerate(runs):
        for step, (name, (colour, label)) in enumerate(styles.items()):
            values = np.asarray(run["per_image"][name])
            at = place + 0.24 * (step - 1)
            spread = at + 0.05 * rng.standard_normal(len(values)).clip(-1.5, 1.5)
            axes.scatter(spread, values, s=7, color=colour, alpha=0.45, linewidths=0)
            mean = float(values.mean())
            axes.plot([at - 0.1, at + 0.1], [mean] * 2, color=colour, linewidth=2.5,
                      label=label if place == 0 else None)  # fmt: skip
            axes.annotate(f"{mean:.3f}", (at, values.max()), ha="center", va="bottom",
                          fontsize=7, color=colour, xytext=(0, 3),
                          textcoords="offset points")  # fmt: skip
    axes.set_xticks(range(len(runs)), [f"{run['snr']:g}" for run in runs])
    axes.set(xlabel="SNR of the images", ylabel="AUC-FSC to the image's true state, masked")
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def main() -> None:
    """Measure every SNR, print, plot and write the result."""
    arguments = parse_arguments()
    runs = []
    for snr in arguments.snr:
        runs.append(measure(snr, arguments))
        print_run(runs[-1])
        rules = {"mask": MASK_RULE, "options": parse_options(arguments.option)}
        write_result(arguments.results, "adk_accuracy", {**rules, "runs": runs})
    if arguments.plot:
        plot_runs(runs, arguments.plot)


if __name__ == "__main__":
    main()
