"""Write docs/benchmarks.md from the JSON results.

    python benchmarks/summarise.py benchmarks/results > docs/benchmarks.md

Remarks, as what limits a figure that was not reached, are in notes.toml: one text for each result.
"""

import argparse
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _evidence_figures import (
    list_embed,
    list_million,
    list_null,
    list_populations,
    list_support,
    list_train,
    list_whole_chain,
    show_embed,
    show_million,
    show_null,
    show_populations,
    show_support,
    show_train,
    show_whole_chain,
)
from _figures import Figure, Result, Results, describe_time, list_figures
from _kinase_figures import list_structural_adk, show_structural_adk
from _markdown import format_table, show
from _measure import RESULTS, describe_machine
from _neural_figures import (
    list_neural_accuracy,
    list_neural_gpu,
    list_neural_memory,
    list_neural_throughput,
    show_neural_accuracy,
    show_neural_gpu,
    show_neural_memory,
    show_neural_throughput,
)
from _structural_figures import (
    list_atomic_projection,
    list_deformed,
    list_occupancy,
    list_structural_large,
    show_atomic_projection,
    show_deformed,
    show_occupancy,
    show_structural_large,
)

NOTES = Path(__file__).parent / "notes.toml"

INTRODUCTION = """# Benchmarks

Made by `python benchmarks/summarise.py benchmarks/results > docs/benchmarks.md` from the results of
the commands in [benchmarks/](../benchmarks/README.md); `make bench` runs them all. A figure that
was not reached says so, and its section says what limits it.
"""


def load_results(folder: Path) -> Results:
    """Read every result, by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def describe_machines(results: Results) -> str:
    """Name the machine of every result, once each."""
    seen: dict[str, list[str]] = {}
    for name, result in results.items():
        seen.setdefault(name_machine(result["machine"]), []).append(f"`{name}`")
    if not seen:
        return f"Nothing has been measured yet. This machine: {name_machine(describe_machine())}."
    return "\n".join(f"- {machine}: {', '.join(names)}" for machine, names in seen.items())


def name_machine(machine: dict[str, Any]) -> str:
    """Put a machine into words."""
    cpus = machine.get("cpus", machine.get("cores"))
    memory = f", {machine['memory_gb']:.0f} GB of memory" if "memory_gb" in machine else ""
    torch = f", torch {machine['torch']}" if "torch" in machine else ""
    return f"{cpus} CPUs of {machine['cpu']}{memory}; Python {machine['python']}{torch}"


# ---------------------------------------------------------------------------- sections


def show_accuracy(result: Result) -> str:
    """Adenylate kinase: scores, latents, cost."""
    header = ["SNR", "linear", "label oracle", "consensus", "over consensus", "of the oracle",
              "verdict", "R² of the coordinate", "z² of the latents", "time"]  # fmt: skip
    rows = []
    for run in result["runs"]:
        scores = [f"{run[n]['masked']:.3f}" for n in ("linear", "oracle", "consensus")]
        over = run["over_consensus"]
        latents = run["latents"]
        squares = ", ".join(f"{z:.2f}" for z in latents.get("mean_squared_z", []))
        rows.append(
            [
                f"{run['snr']:g}",
                *scores,
                f"{over['difference']:+.3f} ± {over['standard_error']:.3f}",
                f"{100 * run['over_oracle']['ratio']:.1f} %",
                (run["heterogeneity"] or {}).get("verdict", "–"),
                f"{latents['r2_neighbours']:.3f}",
                squares,
                describe_time(run["cost"]),
            ]
        )
    windows = ", ".join(
        f"±{run['oracle']['best_reach']} of 25 states at SNR {run['snr']:g}"
        for run in result["runs"]
    )
    return (
        f"Per-image AUC-FSC of {len(result['runs'][0]['per_image']['index'])} images by "
        "CryoBench's rule; 0.484 is the most that 64 px allow. "
        f"Mask: {result['mask']}. The oracle is the best of the windows of neighbouring states by "
        f"the truth: {windows}. ± is the standard error of the paired difference; z² the mean "
        "squared distance of a latent from its state's in its own standard deviations, per "
        "component: 1 where uncertainties are right.\n\n"
        + format_table(header, rows)
        + "\n\nWithout the mask (maps keep the method's own automatic mask):\n\n"
        + format_table(
            ["SNR", "linear", "label oracle", "consensus"],
            [
                [f"{run['snr']:g}"]
                + [f"{run[n]['unmasked']:.3f}" for n in ("linear", "oracle", "consensus")]
                for run in result["runs"]
            ],
        )
    )


def show_scaling(result: Result) -> str:
    """Cost of every size."""
    rows = [
        [
            f"{run['images']:,}",
            str(run["components"]),
            str(run["passes"]),
            f"{run['wall_s']:.0f}",
            f"{run['cpu_s']:.0f}",
            f"{run['peak_memory_mb'] / 1000:.2f}",
            f"{1000 * run['cpu_s'] / run['images']:.2f}",
        ]
        for run in result["runs"]
    ]
    header = ["images", "components", "EM steps", "wall s", "CPU s", "peak GB", "CPU s per 1000"]
    return f"Adenylate kinase at SNR {result['snr']:g}, 64 px.\n\n" + format_table(header, rows)


def show_peer(result: Result) -> str:
    """Throughput of both programs."""
    rows = [
        [name, f"{row['images_per_cpu_s']:.0f}", f"{row['images_per_wall_s']:.0f}"]
        for name, row in result["throughput"].items()
    ]
    header = ["program (batch size), net of start-up", "images per CPU s", "images per wall s"]
    runs = [
        [
            run["program"],
            f"{run['images']:,}",
            f"{run['wall_s']:.0f}",
            f"{run['cpu_s']:.0f}",
            f"{run['peak_memory_mb']:.0f}",
            f"{run['correlation']:.3f}",
        ]
        for run in result["runs"]
    ]
    columns = ["whole runs", "images", "wall s", "CPU s", "peak MB", "correlation with the truth"]
    introduction = f"{result['box']} px, {result['threads']} thread(s) each."
    return "\n\n".join([introduction, format_table(header, rows), format_table(columns, runs)])


def show_reading(result: Result) -> str:
    """STAR files and preparing."""
    star = result["star"]
    read = format_table(
        [f"STAR, {star['rows']:,} rows, {star['megabytes']:.0f} MB", "seconds"],
        [[name, f"{seconds:.3f}"] for name, seconds in star["seconds"].items()],
    )
    sizes = [f"{row['from']} → {row['to']} px" for row in result["prepare"]]
    rates = [
        {
            "`cryosway prepare`": row["images_per_second"],
            "`Particles.images`": row["read_per_second"],
            **row["limits"],
        }
        for row in result["prepare"]
    ]
    threads = result["prepare"][0]["threads"]
    speed = format_table(
        [f"images per second, {threads} thread(s)", *sizes],
        [[name, *(f"{rate[name]:.0f}" for rate in rates)] for name in rates[0]],
    )
    steps = [row["steps_us"] for row in result["prepare"]]
    alone = format_table(
        ["µs per image, one thread", *sizes],
        [[name, *(f"{step[name]:.0f}" for step in steps)] for name in steps[0]],
    )
    return "\n\n".join([read, speed, alone])


def show_homogeneous(result: Result) -> str:
    """Directions and what noise alone gives."""
    rows = [
        [
            str(run["seed"]),
            str(number),
            f"{found['variance_explained']:.5f}",
            f"{found['noise_alone']:.5f}",
            f"{found['p_value']:.3f}",
            run["verdict"],
        ]
        for run in result["runs"]
        for number, found in enumerate(run["directions"], start=1)
    ]
    header = ["seed", "direction", "variance", "in noise alone", "p-value", "verdict"]
    note = "Variances are relative to the power of the mean map.\n\n"
    return note + format_table(header, rows)


def show_ribosome(result: Result) -> str:
    """Motions in latents, components and maps; junk."""
    motions = list(result["maps"]["reading"])
    components = result["components"]
    at = f"{result['compared_at_angstrom']:.0f} Å"
    correlations = format_table(
        [f"correlation with the true difference maps, {at}", *motions],
        [
            [f"component {number}", *(f"{row[m]:+.2f}" for m in motions)]
            for number, row in enumerate(components["correlation"], start=1)
        ]
        + [["all together", *(f"{components['correlation_of_span'][m]:.2f}" for m in motions)]],
    )
    reading = result["maps"]["reading"]
    clusters = format_table(
        ["read from cluster maps, against the truth", *motions],
        [
            [name.replace("_", " "), *(show(reading[m][name]) for m in motions)]
            for name in reading[motions[0]]
        ],
    )
    latents = result["latents"]
    junk = format_table(
        ["junk against ribosomes", "area under the ROC curve"],
        [[name, show(value)] for name, value in result["junk"].items()],
    )
    introduction = (
        f"{result['images']:,} images of {result['box']} px, {describe_time(result['cost'])}, "
        f"consensus at {result['resolution_angstrom']:.1f} Å, {result['components_fitted']} "
        "components. Maps at the centres of k-means clusters are fitted by the true difference "
        "maps: the coefficients should be the clusters' mean ratchet angle and occupancies."
    )
    return "\n\n".join(
        [
            introduction,
            correlations,
            clusters,
            describe_latents(latents, motions),
            junk,
        ]
    )


def describe_latents(latents: dict[str, Any], motions: list[str]) -> str:
    """What the latents of single particles tell of each motion."""
    first, *others = motions
    row = latents[first]
    opening = (
        f"Latents of single particles: {first} R² {show(row['r2_neighbours'])} "
        f"({show(row['r2_alike_in_sites'])} among particles with the same tRNAs)"
    )
    sentences = [
        f"{name} present or not, area under the ROC curve {show(latents[name]['auc'])} "
        f"({show(latents[name]['auc_alike_in_ratchet'])} among particles of one angle)"
        for name in others
    ]
    return "; ".join([opening, *sentences]) + "."


def show_trpv1(result: Result) -> str:
    """Correlations under right and wrong conventions."""
    rows = [
        [row["convention"], f"{row['images']:.3f}", f"{row['map']:.3f}"] for row in result["rows"]
    ]
    low = f"{result['low_pass_angstrom']:g}"
    table = format_table(["conventions", "images", f"map, {low} Å"], rows)
    says = [f"- `inspect`, {check['name']}: {check['sentence']}" for check in result["inspect"]]
    return "\n\n".join(["Correlations with the published map.", table, "\n".join(says)])


SECTIONS: dict[str, tuple[str, Callable[[Result], str]]] = {
    "adk_accuracy": ("Accuracy: adenylate kinase", show_accuracy),
    "scaling": ("Time and memory", show_scaling),
    "backproject_vs_cryodrgn": ("Backprojection beside cryoDRGN", show_peer),
    "reading": ("Reading and preparing", show_reading),
    "homogeneous": ("A homogeneous set: apoferritin", show_homogeneous),
    "ribosome": ("As real data are: 70S ribosome", show_ribosome),
    "trpv1": ("Real images: TRPV1", show_trpv1),
    "neural_accuracy": ("Networks: quality against time", show_neural_accuracy),
    "neural_throughput": ("Networks: training beside cryoDRGN", show_neural_throughput),
    "neural_memory": ("Networks: memory", show_neural_memory),
    "neural_gpu": ("Networks: on a GPU", show_neural_gpu),
    "structural_adk": ("Atomic models: adenylate kinase", show_structural_adk),
    "deformed": ("Atomic models: deformed backprojection", show_deformed),
    "occupancy": ("Atomic models: chains that are missing", show_occupancy),
    "structural_large": ("Atomic models: a ribosome", show_structural_large),
    "atomic_projection": ("Atomic models: projection", show_atomic_projection),
    "whole_chain": ("Sequences: from images and a sequence to an ensemble", show_whole_chain),
    "protein_train": ("Sequences: a small language model", show_train),
    "protein_embed": ("Sequences: embeddings", show_embed),
    "null_linear": ("Evidence: null test of `linear`", show_null),
    "null_vae": ("Evidence: null test of `vae`", show_null),
    "null_autodecoder": ("Evidence: null test of `autodecoder`", show_null),
    "support_wrong_prior": ("Evidence: support of wrong models", show_support),
    "populations": ("Evidence: populations", show_populations),
    "million": ("Evidence: a million particles", show_million),
}
MORE_FIGURES: dict[str, Callable[[Result | None], list[Figure]]] = {
    "neural_throughput": list_neural_throughput,
    "neural_accuracy": list_neural_accuracy,
    "neural_memory": list_neural_memory,
    "neural_gpu": list_neural_gpu,
    "structural_adk": list_structural_adk,
    "deformed": list_deformed,
    "occupancy": list_occupancy,
    "structural_large": list_structural_large,
    "atomic_projection": list_atomic_projection,
    "whole_chain": list_whole_chain,
    "protein_train": list_train,
    "protein_embed": list_embed,
    "null_linear": list_null,
    "null_vae": list_null,
    "support_wrong_prior": list_support,
    "populations": list_populations,
    "million": list_million,
}


def write_page(results: Results, notes: dict[str, str]) -> str:
    """Put the page together."""
    known = {name: result for name, result in results.items() if name in SECTIONS}
    parts = [INTRODUCTION.rstrip(), describe_machines(known)]
    more = [make(known.get(name)) for name, make in MORE_FIGURES.items()]
    every = [*list_figures(known), *(figure for part in more for figure in part)]
    figures = [figure.to_row() for figure in every]
    header = ["| figure | target | measured | met |", "|---|---|---|---|"]
    parts.append("\n".join(header + figures))
    for name, (title, show_result) in SECTIONS.items():
        if name not in known and name not in notes:
            continue
        parts.append(f"## {title}")
        if name in known:
            parts.append(show_result(known[name]))
        if name in notes:
            parts.append(notes[name].strip())
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path, nargs="?", default=RESULTS)
    arguments = parser.parse_args()
    notes = tomllib.loads(NOTES.read_text()) if NOTES.exists() else {}
    print(write_page(load_results(arguments.results), notes), end="")


if __name__ == "__main__":
    main()
