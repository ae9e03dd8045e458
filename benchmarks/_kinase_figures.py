"""The figures that `structural` shall reach on adenylate kinase, and their section of the page."""

from dataclasses import replace
from typing import Any

from _figures import Figure, Result, describe_time, is_quiet
from _markdown import format_table

LARGEST_RMSD, LARGEST_SECONDS = 0.9, 120
SLOPES = (0.9, 1.1)
BOND, BOND_SD = 3.8, 0.1
ON_NOISE = 0.2  # Å
CASES = {
    "middle": "reference from the middle of the path",
    "open": "reference from its open end",
    "1ake": "reference from a crystal structure, 1AKE, docked",
    "snr0.01": "SNR 0.01, 10,000 images",
    "noise": "pure noise",
    "still": "images of the reference, which stands still",
}
OTHERS = ("open", "1ake")  # references
STILL = ("noise", "still")
ORACLE_AUC = 0.40  # of densities by true labels at SNR 0.01


def list_structural_adk(result: Result | None) -> list[Figure]:
    """Accuracy on adenylate kinase."""
    cases = result["cases"] if result else {}
    runs = list(cases.get("middle", {}).values())
    return [
        judge_rmsd(runs),
        judge_slowest(runs),
        judge_slopes(runs),
        judge_regions(runs),
        judge_bonds(runs),
        judge_close_pairs(runs),
        *(judge_case(cases.get(case, {}), case) for case in OTHERS),
        judge_many(cases.get("snr0.01", {})),
        *(judge_still(cases.get(case, {}), case) for case in STILL),
    ]


def judge_rmsd(runs: list[Result]) -> Figure:
    """Judge the error of Cα atoms."""
    what, target = "`structural`, adenylate kinase, SNR 0.1: Cα RMSD", f"≤ {LARGEST_RMSD} Å"
    if not runs:
        return Figure(what, target)
    worst = max(run["structural"]["rmsd"] for run in runs)
    seeds = "" if len(runs) == 1 else f", the worst of {len(runs)} seeds"
    said = f"{worst:.2f} Å{seeds}; reference {runs[0]['reference']['rmsd']:.2f} Å, cryoSTAR's best "
    return Figure(what, target, f"{said}1.21 Å", worst <= LARGEST_RMSD)


def judge_slowest(runs: list[Result]) -> Figure:
    """Judge the longest time."""
    figure = Figure("the same: time of the fit, 2 cores", f"≤ {LARGEST_SECONDS} s")
    if not runs:
        return figure
    cost, run = max(((cost_alone(run), run) for run in runs), key=lambda each: each[0]["cpu_s"])
    more = run["cost"]["wall_s"] - cost["wall_s"]
    halves = f", and {more:.0f} s for models of both half-sets" if more else ""
    said = describe_time(cost) + halves
    return replace(figure, measured=said, met=judge_time(cost))


def judge_slopes(runs: list[Result]) -> Figure:
    """Judge how far domains move, of what they do."""
    figure = Figure("the same: slopes of domain motion", f"{SLOPES[0]:g} to {SLOPES[1]:g}")
    if not runs:
        return figure
    slopes = [slope for run in runs for slope in run["structural"]["slopes"].values()]
    least, most = min(slopes), max(slopes)
    met = SLOPES[0] <= least and most <= SLOPES[1]
    return replace(figure, measured=f"{least:.2f} to {most:.2f}", met=met)


def judge_regions(runs: list[Result]) -> Figure:
    """Judge whether every region is nearer to the truth than the reference is."""
    figure = Figure("the same: Cα RMSD of each region", "no worse than the reference")
    if not runs:
        return figure
    return replace(figure, measured=compare_regions(runs), met=all(map(is_no_worse, runs)))


def compare_regions(runs: list[Result]) -> str:
    """Say how far each region is from the truth, at worst, and the reference."""
    parts = []
    for name in ("NMP", "LID", "CORE"):
        found = max(run["structural"]["rmsd_of_regions"][name] for run in runs)
        parts.append(
            f"{name} {found:.2f} Å after {runs[0]['reference']['rmsd_of_regions'][name]:.2f}"
        )
    return ", ".join(parts)


def is_no_worse(run: Result) -> bool:
    """Whether no region of a run is farther from the truth than in the reference."""
    found, still = (run[name]["rmsd_of_regions"] for name in ("structural", "reference"))
    return all(found[name] <= still[name] for name in found)


def judge_bonds(runs: list[Result]) -> Figure:
    """Judge distances of Cα atoms along the chain."""
    figure = Figure("the same: Cα–Cα distances", f"{BOND} ± {BOND_SD} Å")
    if not runs:
        return figure
    found = [run["structural"] for run in runs]
    worst = max(found, key=lambda each: float(each["bond_sd"]))
    met = all(
        abs(each["bond_mean"] - BOND) <= BOND_SD and each["bond_sd"] <= BOND_SD for each in found
    )
    said = f"{worst['bond_mean']:.2f} ± {worst['bond_sd']:.2f} Å"
    return replace(figure, measured=said, met=met)


def judge_close_pairs(runs: list[Result]) -> Figure:
    """Judge clashes: Cα atoms nearer than 4 Å that were not so in the reference."""
    figure = Figure("the same: clashes, pairs of Cα nearer than 4 Å", "no more than in truth")
    if not runs:
        return figure
    name = "close_pairs_per_model"
    found, true = (max(run[who][name] for run in runs) for who in ("structural", "truth"))
    met = all(run["structural"][name] <= run["truth"][name] for run in runs)
    return replace(figure, measured=f"{found:.2f} per model; truth {true:.2f}", met=met)


def judge_case(seeds: dict[str, Any], case: str) -> Figure:
    """Judge another reference: regions no worse than it, and slopes."""
    target = f"no region worse than it, slopes {SLOPES[0]:g} to {SLOPES[1]:g}"
    figure = Figure(f"`structural`, adenylate kinase, {CASES[case]}", target)
    if not seeds:
        return figure
    runs = list(seeds.values())
    slopes = judge_slopes(runs)
    rmsd = max(run["structural"]["rmsd"] for run in runs)
    said = f"{rmsd:.2f} Å ({compare_regions(runs)}); slopes {slopes.measured}"
    return replace(figure, measured=said, met=bool(slopes.met) and all(map(is_no_worse, runs)))


def judge_many(seeds: dict[str, Any]) -> Figure:
    """Judge maps of the model at an SNR where no density reaches the label oracle."""
    figure = Figure(
        f"`structural`, adenylate kinase, {CASES['snr0.01']}: AUC-FSC of the model's density",
        f"> {ORACLE_AUC:.2f}, the label oracle's",
    )
    if not seeds:
        return figure
    worst = min(seeds.values(), key=lambda run: float(run["auc_fsc"]["model"]["masked"]))
    auc = float(worst["auc_fsc"]["model"]["masked"])
    said = f"{auc:.3f}; Cα RMSD {worst['structural']['rmsd']:.2f} Å"
    return replace(figure, measured=said, met=auc > ORACLE_AUC)


def cost_alone(run: Result) -> Result:
    """Give the cost of a run less that of the half-set models, by their share of its time."""
    timings = run.get("timings") or {"total": 1.0}
    share = 1 - timings.get("half-set models", 0.0) / timings["total"]
    names = ("wall_s", "cpu_s", "others_cpu_s")
    return {**run["cost"], **{name: share * (run["cost"][name] or 0.0) for name in names}}


def judge_time(cost: Result) -> bool | None:
    """Judge a time; not one that other programs have lengthened past what is wanted."""
    if min(cost["wall_s"], cost["cpu_s"]) <= LARGEST_SECONDS:
        return True
    return False if is_quiet(cost) else None


def judge_still(seeds: dict[str, Any], case: str) -> Figure:
    """Judge the motion that is made up where there is none."""
    figure = Figure(f"`structural`, {CASES[case]}: mean motion", f"< {ON_NOISE} Å")
    if not seeds:
        return figure
    moved = max(run["from_mean"]["mean"] for run in seeds.values())
    bent = max(run["displacement"]["mean"] for run in seeds.values())
    said = f"{moved:.2f} Å from the particles' mean, {bent:.2f} Å from the reference"
    return replace(figure, measured=said, met=moved < ON_NOISE)


def show_structural_adk(result: Result) -> str:
    """Accuracy, case by case and seed by seed."""
    header = ["case", "seed", "RMSD (Å)", "of the reference", "NMP", "LID", "CORE",
              "slopes NMP, LID", "Cα–Cα (Å)", "close pairs (truth)", "AUC-FSC", "consensus",
              "time"]  # fmt: skip
    rows = [
        show_run(CASES.get(case, case), seed.removeprefix("seed"), run)
        for case, seeds in result["cases"].items()
        if case not in STILL
        for seed, run in seeds.items()
    ]
    still = [
        f"On {CASES[case]} (seed {seed.removeprefix('seed')}, 96 epochs), particles are displaced "
        f"by {run['displacement']['mean']:.2f} Å on average, by "
        f"{run['displacement']['largest']:.2f} Å at most; from their own mean by "
        f"{run['from_mean']['mean']:.2f} Å and {run['from_mean']['largest']:.2f} Å."
        for case in STILL
        for seed, run in result["cases"].get(case, {}).items()
    ]
    introduction = (
        "2,000 images of 64 px, 1.5 Å/px, of 98 frames from closed to open. Positions are compared "
        "atom by atom, without superposition. AUC-FSC is that of the model's density at the "
        "particle's latent with its true map."
    )
    return "\n\n".join([introduction, format_table(header, rows), *still])


def show_run(case: str, seed: str, run: Result) -> list[str]:
    """Give a row of the table."""
    found, still, maps = run["structural"], run["reference"], run["auc_fsc"]
    regions = [f"{found['rmsd_of_regions'][name]:.2f}" for name in ("NMP", "LID", "CORE")]
    close = f"{found['close_pairs_per_model']:.2f} ({run['truth']['close_pairs_per_model']:.2f})"
    return [
        case, seed, f"{found['rmsd']:.2f}", f"{still['rmsd']:.2f}", *regions,
        ", ".join(f"{found['slopes'][name]:.2f}" for name in ("NMP", "LID")),
        f"{found['bond_mean']:.2f} ± {found['bond_sd']:.2f}", close,
        f"{maps['model']['masked']:.3f}", f"{maps['consensus']['masked']:.3f}",
        describe_time(run["cost"]),
    ]  # fmt: skip
