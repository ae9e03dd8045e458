"""The figures to reach by atomic models, and their sections of the page."""

from _figures import Figure, Result, describe_time
from _markdown import format_table, show

STARTUP_SECONDS, MEGABYTES = 30, 4000
BEST_AUC = 0.95  # of telling which particles have a chain
MOVED = "moved, half-set models"


# ---------------------------------------------------------------------------- figures


def list_deformed(result: Result | None) -> list[Figure]:
    """What deformed backprojection adds where domains move."""
    what = "deformed backprojection: FSC to the truth in the domains that move"
    target = "above the plain consensus"
    if not result:
        return [Figure(what, target)]
    plain, moved = (result["scores"][name] for name in ("consensus", MOVED))
    gained = {name: (plain[name]["auc"], moved[name]["auc"]) for name in ("LID", "NMP")}
    said = ", ".join(
        f"{name} {after:.3f} after {before:.3f}" for name, (before, after) in gained.items()
    )
    met = all(after > before for before, after in gained.values())
    return [Figure(what, target, f"area under it: {said}", met)]


def list_occupancy(result: Result | None) -> list[Figure]:
    """Whether missing chains are told from motion."""
    what = "chains that some particles lack (7CTH)"
    missing = Figure(f"{what}: told, and in which particles", f"both chains, AUC ≥ {BEST_AUC:g}")
    whole = Figure("the same, with all chains in all particles", "none is said to be missing")
    if not result:
        return [missing, whole]
    figures = []
    if "auto" in result["runs"]:
        found = result["runs"]["auto"]["occupancies"]
        lacking = {name: row for name, row in found.items() if row["auc"] is not None}
        said = ", ".join(
            f"{name}: AUC {row['auc']:.3f}, in {100 * row['share']:.0f} % (truth "
            f"{100 * row['true_share']:.0f} %)"
            for name, row in lacking.items()
        )
        good = set(found) == {"C", "H"} and all(r["auc"] >= BEST_AUC for r in lacking.values())
        figures.append(Figure(missing.what, missing.target, said or "none is told", good))
    if "complete" in result["runs"]:
        named = sorted(result["runs"]["complete"]["occupancies"])
        figures.append(Figure(whole.what, whole.target, ", ".join(named) or "none", not named))
    return figures


def list_structural_large(result: Result | None) -> list[Figure]:
    """Start-up and memory on a ribosome."""
    time = Figure("`structural`, ribosome (4V5D), 128 px: start-up", f"≤ {STARTUP_SECONDS} s")
    memory = Figure("the same: peak memory", f"< {MEGABYTES / 1000:g} GB")
    if not result:
        return [time, memory]
    seconds, peak = result["startup_cpu_s"], result["peak_memory_mb"]
    said = f"{seconds:.0f} s of one CPU, on {result['images']} images"
    return [
        Figure(time.what, time.target, said, seconds <= STARTUP_SECONDS),
        Figure(memory.what, memory.target, f"{peak / 1000:.2f} GB", peak < MEGABYTES),
    ]


def list_atomic_projection(result: Result | None) -> list[Figure]:
    """Cost of projecting beads."""
    what = "projecting beads: cost"
    target = "grows with beads plus pixels, not beads times pixels"
    if not result:
        return [Figure(what, target)]
    box = max(case["box"] for case in result["cases"])
    cases = sorted((c for c in result["cases"] if c["box"] == box), key=lambda c: c["beads"])
    few, many = cases[0], cases[-1]
    said = (
        f"{box} px, {few['beads']:,} → {many['beads']:,} beads: {few['splat_ms']:.2f} → "
        f"{many['splat_ms']:.2f} CPU-ms, forward and backward; as products of matrices "
        f"{few['matrices_ms']:.1f} → {many['matrices_ms']:.0f}"
    )
    growth = (many["splat_ms"] / few["splat_ms"]) / (many["beads"] / few["beads"])
    return [Figure(what, target, said, growth < 0.5)]


# ---------------------------------------------------------------------------- sections


def show_deformed(result: Result) -> str:
    """Areas under the FSC, map by map and region by region."""
    regions = list(next(iter(result["scores"].values())))
    header = ["area under the FSC to the truth (resolution at 0.5, Å)", *regions]
    rows = [
        [
            name,
            *(f"{found[r]['auc']:.3f} ({found[r]['resolution_0.5']:.1f})" for r in regions),
        ]
        for name, found in result["scores"].items()
    ]
    halves = [
        [name, *(f"{found[r]['auc_half_maps']:.3f}" for r in regions)]
        for name, found in result["scores"].items()
    ]
    introduction = (
        f"{result['images']:,} images of adenylate kinase at SNR {result['snr']:g}, moved to the "
        f"reference; {result['largest']:.3f} is the most that the box allows. "
        f"`cryosway density` took {describe_time(result['cost'])}."
    )
    return "\n\n".join(
        [
            introduction,
            format_table(header, rows),
            "The half-maps' own FSC, which needs no truth:",
            format_table(["area under the FSC of the half-maps", *regions], halves),
        ]
    )


def show_occupancy(result: Result) -> str:
    """Occupancies and displacements of every run."""
    names = {
        "auto": "C in half, H in two thirds of the particles",
        "none": "the same, occupancies not asked for",
        "complete": "all chains in all particles",
    }
    rows = []
    for run, found in result["runs"].items():
        told = "; ".join(
            f"{name} {100 * row['share']:.0f} % (truth {100 * row['true_share']:.0f} %), AUC "
            f"{show(row['auc'])}"
            for name, row in found["occupancies"].items()
        )
        rows.append(
            [
                names.get(run, run),
                told or "none",
                f"{found['displacement_angstrom']:.2f}",
                describe_time(found["cost"]),
            ]
        )
    header = ["particles", "said to be missing in some", "displacement (Å), truly 0", "time"]
    introduction = (
        f"{result['images']:,} images of {result['box']} px at SNR {result['snr']:g} of a complex "
        "that does not move (7CTH, 10 chains)."
    )
    return "\n\n".join([introduction, format_table(header, rows)])


def show_structural_large(result: Result) -> str:
    """Start-up, memory and throughput."""
    rows = [
        ["start-up, CPU s", f"{result['startup_cpu_s']:.1f}"],
        ["memory by then, GB", f"{result['startup_memory_mb'] / 1000:.2f}"],
        ["training, images per CPU s", f"{result['images_per_cpu_s']:.1f}"],
        ["peak memory, GB", f"{result['peak_memory_mb'] / 1000:.2f}"],
    ]
    introduction = (
        f"{result['images']} images of {result['box']} px. Start-up is from the command to the "
        "first step of training, and holds some passes over the images for the motion along 24 "
        "normal modes, whose cost grows with their number."
    )
    return "\n\n".join([introduction, format_table(["4V5D, 10,594 beads", "measured"], rows)])


def show_atomic_projection(result: Result) -> str:
    """Cost of every case."""
    header = ["px", "beads", "products of matrices", "splat", "ratio", "splat, widths that differ",
              "error, of the peak"]  # fmt: skip
    rows = [
        [
            str(case["box"]),
            f"{case['beads']:,}",
            f"{case['matrices_ms']:.2f}",
            f"{case['splat_ms']:.2f}",
            f"{case['ratio']:.1f}",
            f"{case['splat_many_widths_ms']:.2f}",
            f"{case['error']:.0e}, {case['error_many_widths']:.0e}",
        ]
        for case in result["cases"]
    ]
    return "CPU-ms per image, forward and backward.\n\n" + format_table(header, rows)
