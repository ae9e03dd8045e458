"""The figures to reach by the networks, and their sections of the page."""

from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from _figures import IMAGES, Figure, Result
from _markdown import format_table, show

PEER = "cryodrgn"
PEER_EPOCHS = 20
SPEED_RATIO = 3
TIME_SHARE = 0.1  # of cryoDRGN's CPU time, to reach its final score
SCORE_GAIN = 0.02  # over cryoDRGN's final score
MUST_BEAT_LINEAR = ("assembly", "hinge")
NETWORKS = ("vae", "autodecoder")


@dataclass(frozen=True)
class Group:
    """Points of one method and one number of epochs: several seeds."""

    method: str
    epochs: int
    points: list[dict[str, Any]]

    def mean(self, what: str) -> float:
        """Mean over seeds."""
        return fmean(point[what] for point in self.points)

    def spread(self, what: str) -> float | None:
        """Standard deviation over seeds."""
        values = [point[what] for point in self.points]
        return stdev(values) if len(values) > 1 else None

    def show(self, what: str) -> str:
        """Mean over seeds; their spread, where there are several; the spread over images."""
        seeds = self.spread(what)
        between = "" if seeds is None else f" ± {seeds:.4f}"
        return f"{self.mean(what):.4f}{between} ({self.mean(f'{what}_sd'):.3f})"


def group_points(run: Result) -> list[Group]:
    """Points that differ by seed alone, together."""
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for point in run["points"]:
        found.setdefault((point["method"], point["epochs"]), []).append(point)
    return [Group(method, epochs, points) for (method, epochs), points in sorted(found.items())]


# ---------------------------------------------------------------------------- figures


def list_neural_throughput(result: Result | None) -> list[Figure]:
    """Training beside cryoDRGN."""
    what = "training a VAE, one core, against `cryodrgn train_vae` 4.3.1"
    target = f"≥ {SPEED_RATIO} × images per CPU second"
    if not result:
        return [Figure(what, target)]
    figures = []
    for row in result["cases"]:
        ratio = row["ratio"].get("cryosway")
        name = f"{what}: {row['box']} px, {row['width']}×{result['layers']}"
        if ratio is None:
            figures.append(Figure(name, target))
            continue
        rates = [row["programs"][p]["images_per_cpu_s"] for p in ("cryosway", PEER)]
        measured = f"{ratio:.1f} × ({rates[0]:.3g} against {rates[1]:.3g})"
        whole = result["share"] == 1
        figures.append(Figure(name, target, measured, ratio >= SPEED_RATIO if whole else None))
    return figures


def list_neural_accuracy(result: Result | None) -> list[Figure]:
    """Quality and time on every set."""
    if not result:
        target = f"cryoDRGN's final AUC-FSC in {100 * TIME_SHARE:.0f} % of its CPU time"
        return [Figure("networks on simulated sets", target)]
    return [figure for run in result["runs"] for figure in list_set(run)]


def list_set(run: Result) -> list[Figure]:
    """Figures of one set; judged where it is whole and cryoDRGN has done all its epochs."""
    groups = group_points(run)
    ours = [group for group in groups if group.method.split()[0] in NETWORKS]
    peers = [group for group in groups if group.method == PEER]
    if not ours or not peers:
        return []
    final = max(peers, key=lambda group: group.epochs)
    judged = run["images"] == IMAGES and final.epochs >= PEER_EPOCHS
    figures = [judge_time(run["set"], ours, final), judge_gain(run["set"], ours, final)]
    linear = [group for group in groups if group.method == "linear"]
    if run["set"] in MUST_BEAT_LINEAR and linear:
        figures.append(judge_against_linear(run["set"], ours, linear[0]))
    if judged:
        return figures
    size = f"{run['images']:,} images, cryoDRGN after {final.epochs} epochs"
    return [Figure(f.what, f.target, f"{f.measured} ({size})", None) for f in figures]


def judge_time(name: str, ours: list[Group], final: Group) -> Figure:
    """CPU time to cryoDRGN's final score."""
    what = f"{name}: CPU time to cryoDRGN's final AUC-FSC"
    target = f"≤ {100 * TIME_SHARE:.0f} % of its {final.mean('cpu_s'):.0f} s"
    reached = [group for group in ours if group.mean("masked") >= final.mean("masked")]
    if not reached:
        return Figure(what, target, f"{final.mean('masked'):.3f} not reached", met=False)
    first = min(reached, key=lambda group: group.mean("cpu_s"))
    share = first.mean("cpu_s") / final.mean("cpu_s")
    measured = (
        f"{first.mean('cpu_s'):.0f} s, {100 * share:.1f} % ({first.method}, {first.epochs} epochs: "
        f"{first.mean('masked'):.3f} against {final.mean('masked'):.3f})"
    )
    return Figure(what, target, measured, share <= TIME_SHARE)


def judge_gain(name: str, ours: list[Group], final: Group) -> Figure:
    """Best score over cryoDRGN's, masked and unmasked."""
    best = max(ours, key=lambda group: group.mean("masked"))
    gains = {what: best.mean(what) - final.mean(what) for what in ("masked", "unmasked")}
    measured = (
        f"{gains['masked']:+.3f} masked, {gains['unmasked']:+.3f} unmasked ({best.method}, "
        f"{best.epochs} epochs)"
    )
    what = f"{name}: per-image AUC-FSC over cryoDRGN's"
    return Figure(what, f"≥ +{SCORE_GAIN:g}", measured, min(gains.values()) >= SCORE_GAIN)


def judge_against_linear(name: str, ours: list[Group], linear: Group) -> Figure:
    """Best score over that of `linear`."""
    best = max(ours, key=lambda group: group.mean("masked"))
    gain = best.mean("masked") - linear.mean("masked")
    measured = f"{gain:+.4f} ({best.mean('masked'):.3f} against {linear.mean('masked'):.3f})"
    return Figure(f"{name}: networks against `linear`, masked", "better", measured, gain > 0)


def list_neural_memory(result: Result | None) -> list[Figure]:
    """Host memory when streaming."""
    what = "training: host memory of an image more, streaming"
    target = "less than the image itself"
    if not result or result["bytes_per_image"] is None:
        return [Figure(what, target)]
    largest = result["runs"][-1]
    measured = (
        f"{result['bytes_per_image']:.0f} bytes of {result['bytes_of_an_image']}; "
        f"{largest['own_mb'] / 1000:.2f} GB at {largest['images']:,} images"
    )
    met = result["bytes_per_image"] < result["bytes_of_an_image"]
    lost = result["streaming"]["lost"]
    return [
        Figure(what, target, measured, met if largest["images"] >= 100_000 else None),
        Figure("training: what streaming costs", "< 20 %", f"{100 * lost:.0f} %", lost < 0.2),
    ]


def list_neural_gpu(result: Result | None) -> list[Figure]:
    """Speed on a GPU."""
    what = "100,000 images of 128 px, 1024×3, on one H200"
    target = "≤ 30 s per epoch"
    rows = {row["case"]: row for row in result["cases"]} if result else {}
    if not result or result["target"]["case"] not in rows:
        return [Figure(what, target)]
    row = rows[result["target"]["case"]]
    seconds = row["seconds_per_100000"]
    measured = f"{seconds:.0f} s on {result['device']}"
    met = seconds <= result["target"]["seconds"] if "H200" in result["device"] else None
    return [Figure(what, target, measured, met)]


# ---------------------------------------------------------------------------- sections


def show_neural_throughput(result: Result) -> str:
    """Throughput and memory of every program."""
    rows = []
    for case in result["cases"]:
        for program, found in case["programs"].items():
            rate, ratio = found["images_per_cpu_s"], case["ratio"].get(program)
            rows.append(
                [
                    f"{case['box']} px, {case['width']}×{result['layers']}",
                    program,
                    "–" if rate is None else f"{rate:.3g}",
                    "–" if ratio is None else f"{ratio:.1f}",
                    f"{found['peak_memory_mb']:.0f}",
                ]
            )
    header = ["images, network", "program", "images per CPU s", "× cryoDRGN", "peak MB"]
    note = f"Batches of {result['batch']}, {result['threads']} thread, net of start-up.\n\n"
    return note + format_table(header, rows)


def show_neural_accuracy(result: Result) -> str:
    """Every point of every set."""
    introduction = (
        "Per-image AUC-FSC: mean over images, ± the standard deviation over seeds where there are "
        "several, in brackets that over images. CPU seconds contain all that was needed, the "
        "linear model included. Neighbours: share of nearest neighbours in common with the truth. "
        "Δ: information imbalance latents → state, pose and CTF, 0 where known and 1 where not. "
        f"Mask: {result['mask']}."
    )
    return "\n\n".join([introduction, *(show_set(run) for run in result["runs"])])


def show_set(run: Result) -> str:
    """Table of one set."""
    header = ["method", "epochs", "CPU s", "masked", "unmasked", "over consensus", "neighbours",
              "Δ state", "Δ pose", "Δ CTF"]  # fmt: skip
    rows = [show_group(group) for group in group_points(run)]
    best, consensus = run["perfect_latents"], run["consensus"]
    note = (
        f"**{run['set']}**: {run['images']:,} images, networks {run['width']}×{run['layers']}, "
        f"{run['latent_dim']} latent dimensions. Consensus {consensus['masked']:.4f} masked, "
        f"{consensus['unmasked']:.4f} unmasked; latents that are the truth have "
        f"{best['neighbourhood_similarity']:.0f} % of neighbours and Δ state "
        f"{show(best['state'][0])}; chance is {best['chance']:.0f} %."
    )
    return note + "\n\n" + format_table(header, rows)


def show_group(group: Group) -> list[str]:
    """One row."""
    latents = [point["latents"] for point in group.points]
    over = fmean(point["over_consensus"]["difference"] for point in group.points)
    imbalances = [fmean(found[what][0] for found in latents) for what in ("state", "pose", "ctf")]
    return [
        group.method,
        str(group.epochs) if group.epochs else "–",
        f"{group.mean('cpu_s'):.0f}",
        group.show("masked"),
        group.show("unmasked"),
        f"{over:+.4f}",
        f"{fmean(found['neighbourhood_similarity'] for found in latents):.0f} %",
        *map(show, imbalances),
    ]


def show_neural_memory(result: Result) -> str:
    """Memory of every size."""
    rows = [
        [f"{run['images']:,}", *(f"{run[n]:.0f}" for n in ("stack_mb", "own_mb", "resident_mb"))]
        for run in result["runs"]
    ]
    header = ["images", "stack MB", "own memory MB", "with pages of files MB"]
    streamed = result["streaming"]
    seconds = f"{streamed['streamed']:.1f} s streamed, {streamed['kept']:.1f} s kept in memory"
    said = f"An epoch of {streamed['images']:,} images with the default network: {seconds}."
    return f"{format_table(header, rows)}\n\n{said}"


def show_neural_gpu(result: Result) -> str:
    """Speed of every case."""
    rows = [
        [
            f"{row['box']} px, {row['width']}×3, batch {row['batch']}",
            f"{row['images_per_s']:.0f}",
            f"{row['seconds_per_100000']:.0f}",
            f"{row['tflops']:.0f}",
            "–" if row["share_of_peak"] is None else f"{100 * row['share_of_peak']:.0f} %",
            show_megabytes(row["device_memory_mb"]),
            show_megabytes(row["device_memory_mb_of_a_quarter"]),
        ]
        for row in result["cases"]
    ]
    header = ["case", "images per s", "s for 100,000", "TFLOP/s", "of the peak", "device MB",
              "with a quarter of the images"]  # fmt: skip
    return f"{result['device']}, bf16.\n\n" + format_table(header, rows)


def show_megabytes(value: float | None) -> str:
    """A whole number, or a dash."""
    return "–" if value is None else f"{value:.0f}"
