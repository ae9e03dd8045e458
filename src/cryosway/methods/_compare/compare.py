"""`compare`: methods, seeds or data sets side by side: matched latents and maps."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder, set_threads, write_json, write_table
from cryosway.jobs import Job, MissingResultError, open_job
from cryosway.methods._compare.latents import MatchedJobs, PairAgreement, compare_all, match_jobs
from cryosway.methods._compare.maps import MatchedMaps, match_maps
from cryosway.methods._compare.options import CompareOptions
from cryosway.methods._shared_choices import fingerprint_file

_CLOSE, _PART = 0.9, 0.6  # of the first canonical correlation


def compare(
    jobs: Sequence[Job | str | Path] | Job | str | Path,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Compare jobs: other methods, other seeds, or data sets that share particles.

    Particles are matched by uid or image name. Latents are compared by what affine maps see
    (canonical correlations, predicted variance), by the nearest neighbours that jobs have in
    common, and by their classes; maps of the same groups of particles by FSC, and by whether what
    tells the groups apart is the same.

    Parameters
    ----------
    jobs : sequence of Job or path
        Two or more jobs with latents.
    out : path
        Job folder: ``comparison.json``, ``particles.parquet`` (the agreement on each particle, of
        all jobs and of each with the others), ``volumes/``, ``report.html``.
    resume, overwrite : bool
        Whether to go on with an unfinished job, or to replace another one.
    threads : int, optional
        Threads; all CPUs by default.
    **options
        The fields of `CompareOptions`.

    Returns
    -------
    Job
        Its ``particles["agreement"]`` is the share of neighbours in common, by particle.

    Raises
    ------
    CryoswayError
        When there are fewer than two jobs, one has no latents, or they share no particles.

    Examples
    --------
    >>> import cryosway as cs
    >>> cs.compare(["linear1", "vae1", "vae2"], "comparison")  # doctest: +SKIP
    Job('comparison', compare, finished)
    """
    settings = CompareOptions.check("compare", options)
    given = [jobs] if isinstance(jobs, Job | str | Path) else list(jobs)
    if len(given) < 2:
        msg = f"compare needs two jobs or more, not {len(given)}; name them one after the other"
        raise CryoswayError(msg)
    opened = [open_job(one).main for one in given]
    matched = match_jobs(opened)
    set_threads(threads)
    inputs = {
        name: fingerprint_file(job.path / "particles.parquet")
        for name, job in zip(matched.names, opened, strict=True)
    }
    with JobFolder.start(
        out, "compare", settings, inputs, sources={"jobs": [job.path for job in opened]},
        resume=resume, overwrite=overwrite,
    ) as folder:  # fmt: skip
        if not folder.already_finished:
            _fill(folder, matched, settings)
    if not folder.already_finished:
        from cryosway.report import report

        report(out)
    return open_job(out)


def _fill(folder: JobFolder, matched: MatchedJobs, options: CompareOptions) -> None:
    folder.log(f"{matched.count:,} particles in common, matched by {matched.by}")
    with folder.stage("latents"):
        pairs = compare_all(matched, options.neighbours, options.clusters, options.seed)
    maps: MatchedMaps | None = None
    if options.maps:
        with folder.stage("maps"):
            try:
                maps = match_maps(folder, matched, options.maps, options.seed)
            except MissingResultError as error:
                folder.decide("maps", "not compared", str(error))
    table = tabulate_particles(matched, pairs, maps)
    write_table(folder.path / "particles.parquet", table)
    found = summarise(matched, pairs, maps)
    write_json(folder.path / "comparison.json", found)
    _write_page(folder.path, matched, table, found, maps)
    folder.update(comparison=found)
    if maps is not None:
        folder.update(box=len(maps.maps[0][0]), pixel_size=maps.pixel_size)


def tabulate_particles(
    matched: MatchedJobs, pairs: list[PairAgreement], maps: MatchedMaps | None
) -> pd.DataFrame:
    """Make particles.parquet: agreement of all jobs on each particle, and of each with the rest."""
    first = matched.jobs[0].particles.iloc[matched.rows[0]]
    columns: dict[str, Any] = {
        "index": first["index"].to_numpy(),
        "image_name": first["image_name"].to_numpy(),
        "agreement": np.mean([pair.shared for pair in pairs], axis=0),
    }
    for place, name in enumerate(matched.names):
        mine = [pair.shared for pair in pairs if place in pair.pair]
        columns[f"agreement_{name}"] = np.mean(mine, axis=0)
        columns[f"row_{name}"] = matched.rows[place]
    if maps is not None:
        columns["group"] = maps.groups
    return pd.DataFrame(columns)


def summarise(
    matched: MatchedJobs, pairs: list[PairAgreement], maps: MatchedMaps | None
) -> dict[str, Any]:
    """Give comparison.json."""
    return {
        "jobs": [
            {"name": name, "path": str(job.path), "command": job.info.get("command"),
             "particles": len(job.particles)}
            for name, job in zip(matched.names, matched.jobs, strict=True)
        ],
        "particles": matched.count,
        "matched_by": matched.by,
        "pairs": [_summarise_pair(matched, pair, maps) for pair in pairs],
    }  # fmt: skip


def _summarise_pair(
    matched: MatchedJobs, pair: PairAgreement, maps: MatchedMaps | None
) -> dict[str, Any]:
    a, b = (matched.names[place] for place in pair.pair)
    found: dict[str, Any] = {
        "jobs": [a, b],
        "canonical_correlations": pair.latents.canonical,
        "canonical_by_chance": pair.latents.by_chance,
        "predicted_variance": [pair.latents.forward, pair.latents.backward],
        "neighbours_in_common": float(pair.shared.mean()),
        "neighbours_by_chance": pair.chance,
        "ari": pair.ari,
    }
    if maps is not None:
        ours = [one for one in maps.agreement if one.pair == pair.pair]
        found["maps"] = {
            "resolution_angstrom": [one.resolution for one in ours],
            "auc_fsc": [one.auc for one in ours],
            "auc_limit": maps.limit,
            "change_correlation": [one.change for one in ours],
        }
    return found


# ---------------------------------------------------------------------------- the page


def describe_comparison(found: dict[str, Any]) -> list[str]:
    """Say in plain words how far the jobs agree."""
    said = [sentence for pair in found["pairs"] for sentence in _describe_pair(pair)]
    if len(found["jobs"]) > 2:
        closest = max(found["pairs"], key=lambda pair: pair["neighbours_in_common"])
        said.insert(0, f"Of all, {' and '.join(closest['jobs'])} agree best.")
    return said


def _describe_pair(pair: dict[str, Any]) -> Iterator[str]:
    first = float(pair["canonical_correlations"][0])
    chance = pair["canonical_by_chance"]
    if first < 1.5 * chance:
        how = "do not agree on the particles: what they have in common is as by chance"
    elif first > _CLOSE:
        how = "order the particles alike"
    else:
        how = "agree on the particles in part" if first > _PART else "hardly agree on the particles"
    yield (
        f"{' and '.join(pair['jobs'])} {how} (first canonical correlation {first:.2f}, by chance "
        f"{chance:.2f}; {100 * pair['neighbours_in_common']:.0f} % of nearest neighbours in "
        f"common, by chance {100 * pair['neighbours_by_chance']:.1f} %)."
    )
    if "maps" in pair:
        maps = pair["maps"]
        change = float(np.mean(maps["change_correlation"]))
        same = "the same" if change > _CLOSE else "alike" if change > _PART else "not the same"
        yield (
            f"Their maps of the same particles agree to "
            f"{np.median(maps['resolution_angstrom']):.1f} Å (FSC 0.5, median of "
            f"{len(maps['auc_fsc'])} groups), and what tells the groups apart is {same} in both "
            f"(correlation {change:.2f})."
        )


def _write_page(
    folder: Path,
    matched: MatchedJobs,
    table: pd.DataFrame,
    found: dict[str, Any],
    maps: MatchedMaps | None,
) -> None:
    """Write supplement.json, which the report shows, and its pictures."""
    from cryosway.report import plot_agreement, plot_matched_maps, write_figure

    z = matched.latents[0]
    y = z[:, 1] if z.shape[1] > 1 else np.zeros(len(z))
    chance = float(np.mean([pair["neighbours_by_chance"] for pair in found["pairs"]]))
    drawn = {"agreement": plot_agreement(z[:, 0], y, table["agreement"].to_numpy(), chance)}
    text = (
        "Where the jobs agree: the share of the nearest neighbours of each particle that they "
        f"have in common, over the latents of {matched.names[0]}, and its histogram."
    )
    captions = [text]
    if maps is not None:
        by_name = dict(zip(matched.names, maps.maps, strict=True))
        drawn["matched_maps"] = plot_matched_maps(by_name, maps.pixel_size)
        captions.append(
            "Slices of maps of the same particles, where those of the first job differ most; a row "
            "for each job."
        )
    for name, figure in drawn.items():
        write_figure(folder / "figures" / f"{name}.png", figure)
    sentence = (
        f"{found['particles']:,} particles are in all jobs, matched by {found['matched_by']}. "
        "Shares of variance are predicted by an affine map, on particles that it was not fitted on."
    )
    page = {
        "title": "How far the jobs agree",
        "verdict": describe_comparison(found),
        "sentences": [sentence],
        "figures": [
            {"file": f"figures/{name}.png", "caption": caption}
            for name, caption in zip(drawn, captions, strict=True)
        ],
        "header": ["jobs", "canonical correlations", "variance predicted → ←",
                   "neighbours in common", "ARI of classes", "maps agree to (Å)",
                   "changes correlate"],
        "rows": [_tabulate_pair(pair) for pair in found["pairs"]],
    }  # fmt: skip
    write_json(folder / "supplement.json", page)


def _tabulate_pair(pair: dict[str, Any]) -> list[str]:
    maps = pair.get("maps")
    return [
        " / ".join(pair["jobs"]),
        " ".join(f"{value:.2f}" for value in pair["canonical_correlations"][:4]),
        " / ".join(f"{value:.2f}" for value in pair["predicted_variance"]),
        f"{100 * pair['neighbours_in_common']:.1f} %",
        f"{pair['ari']:.2f}",
        "–" if maps is None else f"{np.median(maps['resolution_angstrom']):.1f}",
        "–" if maps is None else f"{np.mean(maps['change_correlation']):.2f}",
    ]
