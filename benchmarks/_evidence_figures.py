"""The figures to reach by evidence and by sequences, and their sections of the page."""

from dataclasses import replace
from typing import Any

from _figures import Figure, Result, describe_time
from _markdown import format_table

COVERAGE = (0.85, 0.95)
MOST_FALSE_ALARMS = 1
MILLION_SECONDS, MILLION_MEGABYTES = 600, 8000
EMBED_RATIO = 3


# ---------------------------------------------------------------------------- figures


def list_null(result: Result | None) -> list[Figure]:
    """False alarms on homogeneous sets, and motion that is found."""
    method = f"`validate`, null test of `{result['method'] if result else 'vae'}`"
    still = Figure(
        f"{method}: ten homogeneous sets, poses in error by 2°",
        f"at most {MOST_FALSE_ALARMS} false alarm at the 5 % level",
    )
    moving = Figure("the same: kinase opening at SNR 0.03", "significant in all of five")
    if not result:
        return [still, moving]
    found = result["summary"]
    alarms, sets = found["false_alarms_5_percent"], found["homogeneous"]
    seen, of = found["moving_5_percent"], found["moving"]
    enough = alarms <= MOST_FALSE_ALARMS if sets >= 10 else None
    return [
        replace(still, measured=f"{alarms} of {sets}", met=enough),
        replace(moving, measured=f"{seen} of {of}", met=seen == of if of >= 5 else None),
    ]


def list_support(result: Result | None) -> list[Figure]:
    """What is believed of wrong models."""
    figure = Figure(
        "`validate`, support: models with the LID missing, turned, or a second one added",
        "no false “supported”",
    )
    if not result:
        return [figure]
    counts = [found for prior, found in result["summary"].items() if prior != "right"]
    false, all_of = (
        sum(each[name] for each in counts) for name in ("false_supported", "supported")
    )
    return [replace(figure, measured=f"{false} of {all_of} that are supported", met=not false)]


def list_populations(result: Result | None) -> list[Figure]:
    """How often intervals of populations hold the truth."""
    figure = Figure(
        "90 % intervals of populations: 3 to 16 states, and a continuous coordinate",
        f"hold the truth in {100 * COVERAGE[0]:g} to {100 * COVERAGE[1]:g} %",
    )
    if not result:
        return [figure]
    parts = [
        sum_coverage([case for name, case in result["cases"].items() if ("states" in name) == many])
        for many in (True, False)
    ]
    said = ", ".join(
        f"{what} {100 * held / of:.0f} % of {of}"
        for what, (held, of) in zip(("states", "continuous"), parts, strict=True)
    )
    met = all(COVERAGE[0] <= held / of <= COVERAGE[1] for held, of in parts)
    return [replace(figure, measured=said, met=met)]


def sum_coverage(cases: list[Result]) -> tuple[int, int]:
    """Count intervals that hold the truth, of how many."""
    return sum(case["held"] for case in cases), sum(case["intervals"] for case in cases)


def list_million(result: Result | None) -> list[Figure]:
    """Cost of a million particles."""
    figure = Figure(
        "a million particles: `landscape`, `states` and `report`",
        f"≤ {MILLION_SECONDS} s and {MILLION_MEGABYTES / 1000:g} GB on 2 cores",
    )
    if not result:
        return [figure]
    costs = result["commands"].values()
    peak, cpu = max(cost["peak_memory_mb"] for cost in costs), result["total"]["cpu_s"]
    met = min(cpu, result["total"]["wall_s"]) <= MILLION_SECONDS and peak <= MILLION_MEGABYTES
    said = f"{result['total']['wall_s']:.0f} s (CPU {cpu:.0f} s), {peak / 1000:.1f} GB"
    return [replace(figure, measured=said, met=met)]


def list_whole_chain(result: Result | None) -> list[Figure]:
    """Ensembles from sequence and images."""
    what = "`run --prediction`, kinase: Cα RMSD of the ensemble, from"
    starts = result["starts"] if result else {}
    return [
        Figure(f"{what} {name}", "nearer than the docked model", *judge_start(starts.get(name)))
        for name in ("stand-in", "trrosetta")
    ]


def judge_start(entry: Result | None) -> tuple[str, bool | None]:
    """Put the errors of one start into words."""
    if entry is None:
        return "not measured", None
    after, before = (entry[name]["rmsd"] for name in ("ensemble", "docked"))
    return f"{after:.2f} Å; docked, standing still {before:.2f} Å", after < before


def list_embed(result: Result | None) -> list[Figure]:
    """Speed of embeddings."""
    figure = Figure(
        "`protein embed`, 8M, against transformers called naively", f"≥ {EMBED_RATIO} ×"
    )
    if not result:
        return [figure]
    ours = result["ways"]["auto"]
    said = (
        f"{ours['faster']:.1f} × ({ours['less_cpu']:.1f} × in CPU time), "
        f"{ours['residues_per_s']:,.0f} residues/s on {result['threads']} thread(s)"
    )
    return [replace(figure, measured=said, met=ours["faster"] >= EMBED_RATIO)]


def list_train(result: Result | None) -> list[Figure]:
    """Perplexity of a small language model."""
    figure = Figure(
        "`protein train`, 156,000 parameters: perplexity on held-out clusters, masks only",
        "below 17.17, which as small a one reached",
    )
    if not result:
        return [figure]
    found = result["perplexity"]
    said = f"{found:.2f} of the unigram's {result['unigram_perplexity']:.2f}"
    return [replace(figure, measured=said, met=found < 17.17)]


# ---------------------------------------------------------------------------- sections


def show_null(result: Result) -> str:
    """Every set's first direction."""
    rows = [
        [
            run["kind"], str(run["seed"]), f"{run['variance_explained']:.5f}",
            f"{run['noise_alone']:.5f}", f"{run['p_value']:.3f}", run["verdict"],
            f"{run['job_s']:.0f}", f"{run['validate_s']:.0f}",
        ]
        for run in result["runs"]
    ]  # fmt: skip
    header = ["set", "seed", "variance", "in noise alone", "p-value", "verdict", "fit s", "test s"]
    introduction = (
        f"`{result['method']}` is fitted to every set, and again to {result['nulls']} homogeneous "
        "copies of it; the first direction is shown."
    )
    return f"{introduction}\n\n{format_table(header, rows)}"


def show_support(result: Result) -> str:
    """Verdicts by model."""
    names = ("features", "supported", "false_supported", "not_supported", "missed",
             "sets_with_density_in_no_map")  # fmt: skip
    rows = [
        [prior, *(str(found[name]) for name in names)] for prior, found in result["summary"].items()
    ]
    sets = len({run["seed"] for run in result["runs"]})
    introduction = (
        f"{sets} set(s) of {result['images']:,} images of 32 px at SNR {result['snr']:g}. False: "
        "supported, with less than 0.15 of it in the true maps; missed: not supported, with half."
    )
    header = ["model", *(name.replace("_", " ") for name in names)]
    return f"{introduction}\n\n{format_table(header, rows)}"


def show_populations(result: Result) -> str:
    """Coverage of all cases, simulated and of images."""
    rows = [
        [
            name, str(case["tables"]), str(case["intervals"]), f"{100 * case['coverage']:.0f} %",
            f"{100 * case['coverage_naive']:.0f} %", show_share(case.get("coverage_energy")),
        ]
        for name, case in result["cases"].items()
    ]  # fmt: skip
    header = ["table of latents", "tables", "intervals", "hold the truth",
              "of counted particles", "free energies"]  # fmt: skip
    parts = [format_table(header, rows)]
    cuts = ("of equal lengths", "of equally many states")
    images = [
        [name.removeprefix("linear_").replace("_", ", "), *(count_held(job[cut]) for cut in cuts)]
        for name, job in result.get("images", {}).items()
    ]
    if images:
        parts.append(format_table(["fits of `linear` to images, five intervals", *cuts], images))
    return "\n\n".join(parts)


def show_share(value: float | None) -> str:
    """A percentage, or a dash."""
    return "–" if value is None else f"{100 * value:.0f} %"


def count_held(found: Result) -> str:
    """How many intervals hold the truth."""
    return f"{found['held']} of {len(found['intervals'])}"


def show_million(result: Result) -> str:
    """Cost of each command."""
    rows = [
        [f"`{name}`", describe_time(cost), f"{cost['peak_memory_mb'] / 1000:.1f}"]
        for name, cost in result["commands"].items()
    ]
    introduction = (
        f"{result['particles']:,} particles, {result['latents']} latents, maps of "
        f"{result['box']} voxels a side, {result['threads']} thread(s)."
    )
    return f"{introduction}\n\n{format_table(['command', 'time', 'peak GB'], rows)}"


def show_whole_chain(result: Result) -> str:
    """Ensemble and docked model against the truth."""
    rows = [row for start in result["starts"].items() for row in show_start(*start)]
    header = ["start", "model", "RMSD (Å)", "NMP", "LID", "CORE", "slopes NMP, LID",
              "superposed (Å)", "TM-score", "time"]  # fmt: skip
    said = [f"- {name}: {entry['what']}." for name, entry in result["starts"].items()]
    introduction = f"{result['images']:,} images of adenylate kinase at SNR {result['snr']:g}."
    return "\n\n".join([introduction, "\n".join(said), format_table(header, rows)])


def show_start(name: str, entry: Result) -> list[list[str]]:
    """Give the two rows of a start."""
    rows = []
    for model in ("docked", "ensemble"):
        found = entry[model]
        regions = [f"{found['rmsd_of_regions'][each]:.2f}" for each in ("NMP", "LID", "CORE")]
        slopes = ", ".join(f"{found['slopes'][each]:.2f}" for each in ("NMP", "LID"))
        time = describe_time(entry["costs"][-1]) if model == "ensemble" else ""
        rows.append(
            [
                name, model, f"{found['rmsd']:.2f}", *regions, slopes,
                f"{found['superposed_rmsd']:.2f}", f"{found['tm_of_20']:.2f}", time,
            ]
        )  # fmt: skip
    return rows


def show_embed(result: Result) -> str:
    """Speed of each way."""
    rows = [
        [
            name, f"{way['sequences_per_s']:.1f}", f"{way['residues_per_s']:,.0f}",
            f"{way['residues_per_cpu_s']:,.0f}", f"{way['faster']:.2f}", f"{way['less_cpu']:.2f}",
        ]
        for name, way in result["ways"].items()
    ]  # fmt: skip
    header = ["way", "sequences per s", "residues per s", "residues per CPU s", "faster",
              "less CPU time"]  # fmt: skip
    introduction = (
        f"{result['sequences']:,} sequences of SwissProt, {result['residues']:,} residues, "
        f"{result['threads']} thread(s)."
    )
    return f"{introduction}\n\n{format_table(header, rows)}"


def show_train(result: Result) -> str:
    """How perplexity falls."""
    course: list[dict[str, Any]] = result["course"]
    shown = course[:: max(1, len(course) // 8)]
    rows = [[f"{point['step']:,}", f"{point['perplexity']:.2f}"] for point in shown]
    introduction = (
        f"{result['parameters']:,} parameters, {describe_time(result['cost'])}; the unigram's "
        f"perplexity is {result['unigram_perplexity']:.2f}."
    )
    return f"{introduction}\n\n{format_table(['step', 'perplexity'], rows)}"
