"""`bench score`: maps and latents of any program against the truth of a set."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder, set_threads, write_json, write_table
from cryosway.jobs import Job, open_job
from cryosway.methods._bench.latent_scores import (
    count_states,
    score_latents,
    score_populations,
)
from cryosway.methods._bench.map_scores import MapJudge, MapScores
from cryosway.methods._bench.options import BenchScoreOptions
from cryosway.methods._bench.result import Result
from cryosway.methods._bench.results import open_result
from cryosway.methods._bench.score_page import write_page
from cryosway.methods._bench.truth_set import MOST_STATES, TruthSet, read_truth_set
from cryosway.particles import read_map
from cryosway.validate import (
    MASK_RULE,
    MapScorer,
    auc_fsc,
    compare_scores,
    make_union_mask,
    summarise_scores,
)

COMMAND = "bench score"
SCORE_NAME = "score.json"


def bench_score(
    truth: str | Path,
    result: str | Path,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Score what a program found against a known truth.

    For images evenly spaced over the set, the map at the image's own latent is compared with the
    true map of its state: the area under the FSC over cycles per pixel (CryoBench, Jeon et al.
    2024), with and without a mask, and what it is above the consensus; the same for the mean
    latent of every state. Latents are judged by the neighbours that they share with the truth and
    by information imbalance with state, pose and CTF; classes by the adjusted Rand index;
    populations by how far they would have to be moved.

    Parameters
    ----------
    truth : path
        A set of `bench make` or `simulate`, or one of CryoBench's folders.
    result : path
        A job of any method on the set's particles, or a folder of another program in the layout
        of docs/bench.md.
    out : path
        Job folder: ``score.json``, ``images.parquet``, ``states.parquet``, ``report.html``.
    resume, overwrite : bool
        Whether to go on with an unfinished job, or to replace another one.
    threads : int, optional
        Threads; all CPUs by default.
    **options
        The fields of `BenchScoreOptions`.

    Returns
    -------
    Job
        Its ``info["score"]`` is what ``score.json`` holds.

    Raises
    ------
    CryoswayError
        If the set or the result cannot be read, or they do not fit each other.

    Examples
    --------
    >>> import cryosway as cs
    >>> job = cs.bench_score("sets/hinge_snr0.1", "job2", "score2")  # doctest: +SKIP
    >>> job.info["score"]["images"]["masked"]  # doctest: +SKIP
    0.431
    """
    settings = BenchScoreOptions.check(COMMAND, options)
    known = read_truth_set(truth, settings.true_latents)
    found = open_result(result, len(known.states))
    set_threads(threads)
    inputs = {"truth": _fingerprint(known.path), "result": _fingerprint(found.path)}
    with JobFolder.start(out, COMMAND, settings, inputs, resume=resume, overwrite=overwrite) as job:
        if not job.already_finished:
            _Scoring(job, known, found, settings).run()
    if not job.already_finished:
        from cryosway.report import report

        report(out)
    return open_job(out)


def _fingerprint(folder: Path) -> str:
    """Identify a folder by its place and the sizes and times of its files."""
    digest = hashlib.sha256(str(folder.resolve()).encode())
    names = ("truth.parquet", "particles.parquet", "model.safetensors", "gt_latents.pkl")
    found = [path for name in names for path in (folder / name, *folder.glob(f"*/{name}"))]
    for path in sorted([*found, *folder.glob("volumes/*.mrc")]):
        if path.exists():
            state = path.stat()
            digest.update(f"{path.name} {state.st_size} {state.st_mtime_ns}".encode())
    return digest.hexdigest()


class _Scoring:
    """One scoring, step by step."""

    def __init__(
        self, job: JobFolder, truth: TruthSet, result: Result, options: BenchScoreOptions
    ) -> None:
        self.job, self.truth, self.result, self.options = job, truth, result, options

    def run(self) -> None:
        """Score and write everything."""
        with self.job.stage("mask"):
            scorer, rule = self._make_scorer()
        judge = MapJudge(self.truth, self.result, scorer)
        rows = judge.choose_rows(self.options.scored)
        judge.each = self.options.align == "each"
        if self.options.align != "none" and len(rows):
            with self.job.stage("frame"):
                judge.find_frame(rows)
        score: dict[str, Any] = {
            "set": self.truth.name,
            "result": self.options.name or self.result.path.resolve().name,
            "program": None,
            **self.result.facts,
            "images_in_set": len(self.truth.states),
            "scored": len(rows),
            "limit": auc_fsc(np.ones(judge.box // 2)),
            "mask": rule,
            "frame": _describe_frame(judge),
        }
        maps: MapScores | None = None
        if len(rows):
            with self.job.stage("maps"):
                maps = judge.score(self.job, rows)
            score |= summarise_maps(maps) | score_populations(self.truth, maps)
        if self.result.latents is not None or self.result.classes is not None:
            with self.job.stage("latents"):
                score |= score_latents(
                    self.truth, self.result, self.options.clusters, self.options.seed
                )
        self._write(score, maps)

    def _make_scorer(self) -> tuple[MapScorer, str]:
        volumes, mask = self.truth.volumes, self.options.mask
        path = self.truth.mask if mask == "auto" else mask if isinstance(mask, Path) else None
        if path is None:
            step = -(-len(volumes) // MOST_STATES)
            some = (volumes[number] for number in range(0, len(volumes), step))
            return MapScorer(volumes, make_union_mask(some, self.truth.pixel_size)), MASK_RULE
        density = read_map(path)[0]
        if density.shape != volumes[0].shape:
            msg = (
                f"the mask {path} has {density.shape} voxels but the true maps {volumes[0].shape}; "
                "give --mask union, or a mask on their grid"
            )
            raise CryoswayError(msg)
        return MapScorer(volumes, density), f"{path.name}, as it is"

    def _write(self, score: dict[str, Any], maps: MapScores | None) -> None:
        write_json(self.job.path / SCORE_NAME, score)
        if maps is not None:
            write_table(self.job.path / "images.parquet", tabulate_images(self.truth, maps))
            write_table(self.job.path / "states.parquet", tabulate_states(self.truth, maps))
        write_page(self.job.path, self.truth, score, maps)
        self.job.update(score=score)


def _describe_frame(judge: MapJudge) -> dict[str, Any] | None:
    frame = judge.frame
    if frame is None:
        return None
    return {
        "turn_degrees": frame.angle,
        "shift_angstrom": (frame.shift * judge.box * judge.truth.pixel_size).tolist(),
        "mirrored": frame.mirrored,
        "correlation": frame.correlation,
        "each_map": judge.each,
    }


def summarise_maps(maps: MapScores) -> dict[str, Any]:
    """Give means and spreads of all scores of maps, and what is above the consensus."""
    there = np.isfinite(maps.states[:, 0])
    return {
        "images": summarise_scores(maps.images),
        "states": {**summarise_scores(maps.states[there]), "by_latent": maps.by_latent},
        "consensus": {**summarise_scores(maps.consensus), "kind": maps.consensus_kind},
        "over_consensus": compare_scores(maps.images, maps.consensus),
        "over_consensus_unmasked": compare_scores(maps.images[:, 1:], maps.consensus[:, 1:]),
        "true_consensus": summarise_scores(maps.true_consensus),
    }


def tabulate_images(truth: TruthSet, maps: MapScores) -> pd.DataFrame:
    """Make images.parquet: a row per scored image."""
    return pd.DataFrame(
        {
            "row": maps.rows,
            "state": truth.states[maps.rows],
            "masked": maps.images[:, 0],
            "unmasked": maps.images[:, 1],
            "consensus_masked": maps.consensus[:, 0],
            "consensus_unmasked": maps.consensus[:, 1],
            "nearest_state": maps.nearest,
            "likeness": maps.likeness,
        }
    )


def tabulate_states(truth: TruthSet, maps: MapScores) -> pd.DataFrame:
    """Make states.parquet: a row per true state that maps were compared with."""
    scored, shown = count_states(truth, maps)
    return pd.DataFrame(
        {
            "state": maps.candidates,
            "population": truth.populations[maps.candidates],
            "masked": maps.states[:, 0],
            "unmasked": maps.states[:, 1],
            "scored_images": scored,
            "maps_nearest": shown,
        }
    )
