"""`score`: how likely a language model finds sequences, residue by residue."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cryosway._errors import CryoswayError
from cryosway.engine import (
    JobFolder,
    read_json,
    read_table,
    select_device,
    write_atomically,
    write_json,
    write_table,
)
from cryosway.jobs import Job, open_job
from cryosway.methods._protein.options import ScoreOptions
from cryosway.methods._protein.records import note_left_out, stream_records, work_within_memory
from cryosway.methods._shared_choices import fingerprint_file
from cryosway.protein import AMINO_ACIDS, SequenceRecord, open_checkpoint
from cryosway.protein.language import (
    LanguageModel,
    Scores,
    score_by_masking,
    score_in_one_pass,
)
from cryosway.report import draw_mutations, write_figure

_PARTS = "parts"
_AT_A_TIME = 64
_PICTURES = 20


def score(
    sequences: str | Path,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Score protein sequences by a language model.

    Parameters
    ----------
    sequences : path
        FASTA, also gzipped.
    out : path
        Job folder: ``sequences.parquet`` (perplexity of each), ``residues.parquet`` (log-likelihood
        of each residue), and with ``mutations`` ``mutations.parquet`` (log-likelihood ratio of
        every exchange) and heat maps of the first twenty in ``figures/``.
    resume, overwrite : bool
        Whether to go on with an unfinished job, or to replace another one.
    device : str
        auto, cpu, cuda or cuda:1.
    threads : int, optional
        Threads; all CPUs by default.
    **options
        The fields of `ScoreOptions`.

    Returns
    -------
    Job
        Its ``info["scores"]`` has the perplexity over all residues.

    Raises
    ------
    CryoswayError
        When the checkpoint, or a record, cannot be used.

    Examples
    --------
    >>> import cryosway as cs
    >>> job = cs.score("adk.fasta", "scores", checkpoint="esm2", mutations=True)  # doctest: +SKIP
    """
    settings = ScoreOptions.check("protein score", options)
    checkpoint = open_checkpoint(settings.checkpoint, fetch=settings.fetch)
    inputs = {"sequences": fingerprint_file(sequences), "checkpoint": checkpoint.fingerprint()}
    with JobFolder.start(
        out, "protein score", settings, inputs, sources={"sequences": [Path(sequences)]},
        resume=resume, overwrite=overwrite,
    ) as job:  # fmt: skip
        if not job.already_finished:
            left_out: list[str] = []
            records = list(
                stream_records(
                    sequences,
                    longest=settings.longest,
                    skip_bad=settings.skip_bad,
                    left_out=left_out,
                )
            )
            model = LanguageModel(
                checkpoint, select_device(device), precision=settings.precision, threads=threads
            )
            _score_all(job, records, model, settings)
            left_out += _join_parts(job)
            note_left_out(job, left_out)
    return open_job(out)


def _score_all(
    job: JobFolder, records: list[SequenceRecord], model: LanguageModel, options: ScoreOptions
) -> None:
    """Write a part of the tables for each group of records, so that a killed run goes on."""
    (job.path / _PARTS).mkdir(exist_ok=True)
    size = 1 if options.method == "masked" else _AT_A_TIME
    total = sum(map(len, records))
    with job.stage("scoring"), job.progress(total, "residues") as progress:
        for first in range(0, len(records), size):
            group = records[first : first + size]
            marker = job.path / _PARTS / f"{first:08d}.json"
            if not marker.exists():
                kept, found, left_out = work_within_memory(
                    partial(_score_group, model, options), group, skip_bad=options.skip_bad
                )
                if found:
                    _write_part(job, first, group, dict(zip(kept, found, strict=True)), options)
                write_json(marker, left_out)
            progress.advance(sum(map(len, group)))


def _score_group(
    model: LanguageModel, options: ScoreOptions, records: list[SequenceRecord]
) -> list[Scores]:
    texts = [record.sequence for record in records]
    if options.method == "single":
        return score_in_one_pass(model, texts, batch_tokens=options.batch_tokens)
    return [score_by_masking(model, text, batch_tokens=options.batch_tokens) for text in texts]


def _write_part(
    job: JobFolder,
    first: int,
    group: list[SequenceRecord],
    found: dict[SequenceRecord, Scores],
    options: ScoreOptions,
) -> None:
    import pandas as pd

    folder = job.path / _PARTS
    if options.mutations:
        for number, record in enumerate(group, first):
            if number < _PICTURES and record in found:
                _draw(job, number, record, found[record])
        tables = [_list_mutations(record, scores) for record, scores in found.items()]
        write_table(folder / f"mutations.{first:08d}.parquet", pd.concat(tables))
    rows = [
        pd.DataFrame(
            {
                "name": record.name,
                "residue": np.arange(1, len(record) + 1),
                "letter": list(record.sequence),
                "log_likelihood": scores.log_likelihoods,
            }
        )
        for record, scores in found.items()
    ]
    write_table(folder / f"residues.{first:08d}.parquet", pd.concat(rows))


def _list_mutations(record: SequenceRecord, scores: Scores) -> Any:
    import pandas as pd

    count = len(AMINO_ACIDS)
    return pd.DataFrame(
        {
            "name": record.name,
            "residue": np.repeat(np.arange(1, len(record) + 1), count),
            "from": np.repeat(list(record.sequence), count),
            "to": np.tile(list(AMINO_ACIDS), len(record)),
            "log_likelihood_ratio": scores.mutations.reshape(-1),
        }
    )


def _draw(job: JobFolder, number: int, record: SequenceRecord, scores: Scores) -> None:
    figure = draw_mutations(record.name, record.sequence, AMINO_ACIDS, scores.mutations)
    write_figure(job.path / "figures" / f"mutations_{number + 1}.png", figure)


def _join_parts(job: JobFolder) -> list[str]:
    """Join the tables of all groups, and sum up; give what is wrong with those left out."""
    import pandas as pd

    markers = sorted((job.path / _PARTS).glob("*.json"))
    left_out = [str(problem) for marker in markers for problem in read_json(marker)]
    for kind in ("residues", "mutations"):
        paths = sorted((job.path / _PARTS).glob(f"{kind}.*.parquet"))
        if paths:
            _join_tables(paths, job.path / f"{kind}.parquet")
    if not (job.path / "residues.parquet").exists():
        message = f"no sequence is left: {left_out[0]}"
        raise CryoswayError(message)
    residues = read_table(job.path / "residues.parquet")
    by_name = residues.groupby("name", sort=False)["log_likelihood"]
    means, lengths = by_name.mean(), by_name.size().to_numpy()
    summary = pd.DataFrame(
        {
            "name": means.index,
            "length": lengths,
            "log_likelihood": means.to_numpy(),
            "perplexity": np.exp(-means.to_numpy()),
        }
    )
    write_table(job.path / "sequences.parquet", summary)
    over_all = float(np.exp(-residues["log_likelihood"].mean()))
    job.update(scores={"sequences": len(means), "perplexity": over_all})
    job.log(f"perplexity over all residues: {over_all:.3f}")
    for path in sorted((job.path / _PARTS).iterdir()):  # markers go before what they vouch for
        path.unlink()
    (job.path / _PARTS).rmdir()
    return left_out


def _join_tables(paths: list[Path], out: Path) -> None:
    """Join Parquet files one after the other, without having them all in memory."""
    import pyarrow.parquet as pq

    with (
        write_atomically(out) as temporary,
        pq.ParquetWriter(temporary, pq.read_schema(paths[0])) as writer,
    ):
        for path in paths:
            writer.write_table(pq.read_table(path))
