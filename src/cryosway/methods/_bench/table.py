"""`bench table`: all scores in one table, and plots."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder, read_json, write_atomically, write_json
from cryosway.jobs import Job, open_job
from cryosway.methods._bench.programs import read_cost

SCORE_NAME = "score.json"
# column → its title in the page and in table.md, and how its numbers are written
_SHOWN = {
    "masked": ("AUC-FSC", "{:.4f}"),
    "masked_sd": ("± (images)", "{:.3f}"),
    "unmasked": ("unmasked", "{:.4f}"),
    "over_consensus": ("over consensus", "{:+.4f}"),
    "states_masked": ("per state", "{:.4f}"),
    "neighbours_percent": ("neighbours (%)", "{:.0f}"),
    "imbalance_state": ("Δ state", "{:.2f}"),
    "imbalance_pose": ("Δ pose", "{:.2f}"),
    "ari": ("ARI", "{:.2f}"),
    "earth_mover": ("population distance", "{:.2f}"),
    "cpu_seconds": ("CPU s", "{:.0f}"),
}


def bench_table(folders: Sequence[str | Path] | str | Path, out: str | Path) -> Job:
    """Gather scores into one table, with plots.

    Parameters
    ----------
    folders : sequence of path
        Folders of `bench_run` or `bench_score`; all ``score.json`` in and below them count.
    out : path
        Job folder: ``table.csv`` (everything), ``table.md``, ``figures/programs.png``,
        ``figures/cost.png``, ``report.html``. It is made anew each time.

    Returns
    -------
    Job

    Raises
    ------
    CryoswayError
        When there are no scores.

    Examples
    --------
    >>> import cryosway as cs
    >>> cs.bench_table(["runs"], "table")  # doctest: +SKIP
    Job('table', bench table, finished)
    """
    given = [folders] if isinstance(folders, str | Path) else list(folders)
    paths = sorted({path for folder in given for path in Path(folder).rglob(SCORE_NAME)})
    if not paths:
        said = ", ".join(str(folder) for folder in given)
        msg = f"{said} holds no {SCORE_NAME}; give folders of cryosway bench run or bench score"
        raise CryoswayError(msg)
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
    with JobFolder.start(
        out, "bench table", {}, {"scores": digest}, resume=False, overwrite=True
    ) as job:
        table = tabulate_scores(paths)
        with write_atomically(job.path / "table.csv") as temporary:
            table.to_csv(temporary, index=False)
        header, rows = format_rows(table)
        lines = [header, ["---"] * len(header), *rows]
        with write_atomically(job.path / "table.md") as temporary:
            temporary.write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))
        _write_page(job.path, table, header, rows)
    from cryosway.report import report

    report(out)
    return open_job(out)


def tabulate_scores(paths: Sequence[Path]) -> pd.DataFrame:
    """Make a row of every score.json, sorted by set and score."""
    rows = [_flatten(read_json(path), read_cost(path.parent.parent)) for path in paths]
    table = pd.DataFrame(rows)
    return table.sort_values(["set", "masked"], ascending=[True, False], ignore_index=True)


def _flatten(score: dict[str, Any], cost: dict[str, Any]) -> dict[str, Any]:
    def take(*names: str) -> Any:
        value: Any = score
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    latents = {
        f"imbalance_{what}": (take("latents", what) or [None])[0]
        for what in ("state", "pose", "ctf")
    }
    return {
        "set": score["set"],
        "result": score["result"],
        "program": score.get("program"),
        "scored": score["scored"],
        "limit": score["limit"],
        **{name: take("images", name) for name in
           ("masked", "masked_sd", "unmasked", "unmasked_sd")},
        "over_consensus": take("over_consensus", "difference"),
        "over_consensus_error": take("over_consensus", "standard_error"),
        "over_consensus_unmasked": take("over_consensus_unmasked", "difference"),
        "consensus_masked": take("consensus", "masked"),
        "true_consensus_masked": take("true_consensus", "masked"),
        "states_masked": take("states", "masked"),
        "states_unmasked": take("states", "unmasked"),
        "neighbours_percent": take("latents", "neighbourhood_similarity"),
        "neighbours_by_chance": take("latents", "chance"),
        "neighbours_of_truth": take("true_latents", "neighbourhood_similarity"),
        **latents,
        "ari": take("clusters", "ari"),
        "ami": take("clusters", "ami"),
        **{name: take("populations", name) for name in
           ("right", "distance", "total_variation", "earth_mover")},
        "cpu_seconds": _add_up(cost, score),
        "wall_seconds": cost.get("wall_s") or score.get("wall_seconds"),
        "peak_memory_mb": cost.get("peak_memory_mb"),
    }  # fmt: skip


def _add_up(cost: dict[str, Any], score: dict[str, Any]) -> float | None:
    """Give CPU seconds, those of a linear model that was started from included."""
    own = cost.get("cpu_s") or score.get("cpu_seconds")
    return None if own is None else float(own) + float(cost.get("linear_cpu_s") or 0.0)


def format_rows(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Write the columns that people look at as text."""
    header = ["set", "result", *(title for title, _ in _SHOWN.values())]
    rows = [
        [str(row["set"]), str(row["result"])]
        + ["–" if pd.isna(row[c]) else look.format(row[c]) for c, (_, look) in _SHOWN.items()]
        for _, row in table.iterrows()
    ]
    return header, rows


def _write_page(
    folder: Path, table: pd.DataFrame, header: list[str], rows: list[list[str]]
) -> None:
    """Write supplement.json, which the report shows, and its pictures."""
    from cryosway.report import figure_png, plot_cost, plot_programs

    there = table.dropna(subset=["masked"])
    drawn = {}
    if len(there):
        drawn["programs"] = plot_programs(
            {
                str(name): list(zip(part["result"], part["masked"], part["masked_sd"], strict=True))
                for name, part in there.groupby("set")
            },
            dict(zip(there["set"], there["true_consensus_masked"], strict=True)),
            dict(zip(there["set"], there["limit"], strict=True)),
        )
    timed = there.dropna(subset=["cpu_seconds", "over_consensus"])
    if len(timed):
        drawn["cost"] = plot_cost(
            {
                str(name): list(zip(part["cpu_seconds"], part["over_consensus"], strict=True))
                for name, part in timed.groupby("result")
            },
            "AUC-FSC over the consensus",
        )
    captions = {
        "programs": "Agreement of maps with the true map of each image's state, mean and standard "
        "deviation over images; broken line: the mean of the true maps, grey line: the largest "
        "possible.",
        "cost": "What maps of single images are better than the program's own consensus, against "
        "the CPU time that it took; a dot for each set.",
    }
    (folder / "figures").mkdir(exist_ok=True)
    for name, figure in drawn.items():
        with write_atomically(folder / "figures" / f"{name}.png") as temporary:
            temporary.write_bytes(figure_png(figure))
    page = {
        "title": "Scores",
        "verdict": describe_table(there),
        "sentences": [],
        "figures": [{"file": f"figures/{name}.png", "caption": captions[name]} for name in drawn],
        "header": header,
        "rows": rows,
    }
    write_json(folder / "supplement.json", page)


def describe_table(table: pd.DataFrame) -> list[str]:
    """Say for each set which result scores best."""
    said = []
    for name, part in table.groupby("set"):
        best = part.iloc[0]
        text = f"On {name}, {best['result']} scores best ({best['masked']:.3f} of at most "
        text += f"{best['limit']:.3f}"
        if len(part) > 1:
            text += f"; next {part.iloc[1]['result']}, {part.iloc[1]['masked']:.3f}"
        said.append(f"{text}).")
    return said
