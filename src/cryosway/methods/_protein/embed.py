"""`embed`: representations of sequences by a protein language model."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from cryosway._errors import CryoswayError
from cryosway.engine import (
    JobFolder,
    Progress,
    find_place,
    read_json,
    select_device,
    write_json,
    write_table,
)
from cryosway.jobs import Job, open_job
from cryosway.methods._protein.embed_files import read_names, write_shard
from cryosway.methods._protein.options import EmbedOptions
from cryosway.methods._shared_choices import fingerprint_file
from cryosway.protein import (
    BadRecord,
    SequenceRecord,
    clean_records,
    open_checkpoint,
    stream_fasta,
)
from cryosway.protein.language import LanguageModel, embed_sequences, resolve_layers

MANIFEST = "manifest.json"
FOLDER = "embeddings"


def embed(
    sequences: str | Path,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Compute representations of protein sequences, of residues and their mean.

    The file is read as a stream; sequences are sorted by length within each file of the result,
    and computed without padding. A killed run goes on with the next file.

    Parameters
    ----------
    sequences : path
        FASTA, also gzipped.
    out : path
        Job folder: ``embeddings/`` in files of about as many residues, ``manifest.json``, and
        ``index.parquet``: the file and row of every sequence. A part of several (``shard``, or
        one of several processes) is a job of its own in it.
    resume, overwrite : bool
        Whether to go on with an unfinished job, or to replace another one.
    device : str
        auto, cpu, cuda or cuda:1.
    threads : int, optional
        Threads; all CPUs by default.
    **options
        The fields of `EmbedOptions`.

    Returns
    -------
    Job
        Its ``info["embeddings"]`` has counts and speed.

    Raises
    ------
    CryoswayError
        When the checkpoint, or a record, cannot be used.

    Examples
    --------
    >>> import cryosway as cs
    >>> job = cs.embed("proteome.fasta", "out", checkpoint="esm2_t33_650M_UR50D")  # doctest: +SKIP
    >>> cs.read_embeddings(job)["P69441"].shape  # doctest: +SKIP
    (214, 1280)
    """
    settings = EmbedOptions.check("protein embed", options)
    part, parts, device = _find_part(settings.shard, device)
    checkpoint = open_checkpoint(settings.checkpoint, fetch=settings.fetch)
    layers = resolve_layers(settings.layers, checkpoint.layers)
    inputs = {"sequences": fingerprint_file(sequences), "checkpoint": checkpoint.fingerprint()}
    folder = Path(out) if parts == 1 else Path(out) / f"part-{part}-of-{parts}"
    config = settings.model_copy(update={"shard": (part, parts), "layers": layers})
    with JobFolder.start(
        folder, "protein embed", config, inputs, resume=resume, overwrite=overwrite
    ) as job:
        if not job.already_finished:
            with job.stage("reading"):
                count = _check_all(job, sequences, config)
            model = LanguageModel(
                checkpoint,
                select_device(device),
                precision=config.precision,
                threads=threads,
                may_lack=("contact_head", "lm_head"),
            )
            _Embedding(job, sequences, config, model).run(count)
    return open_job(folder)


def _find_part(shard: tuple[int, int], device: str) -> tuple[int, int, str]:
    """Tell which part of the work is this process's, and where: from the option or torchrun."""
    part, parts = shard
    place = find_place(os.environ)
    if parts == 1 and place is not None:
        part, parts = int(place["RANK"]) + 1, int(place["WORLD_SIZE"])
        if device in ("auto", "cuda") and select_device(device).type == "cuda":
            device = f"cuda:{place['LOCAL_RANK']}"
    if not 1 <= part <= parts:
        message = f"shard {part} of {parts}: give numbers from 1, as --shard 2 8"
        raise CryoswayError(message)
    return part, parts, device


def _read(sequences: str | Path, options: EmbedOptions) -> Iterator[SequenceRecord | BadRecord]:
    return clean_records(stream_fasta(sequences), sequences, longest=options.longest)


def _check_all(job: JobFolder, sequences: str | Path, options: EmbedOptions) -> int:
    """Count the residues, and meet bad records before anything is computed."""
    residues, bad = 0, []
    for entry in _read(sequences, options):
        if isinstance(entry, SequenceRecord):
            residues += len(entry)
        elif options.skip_bad:
            bad.append(entry.problem)
        else:
            message = f"{entry.problem} (--skip-bad leaves such records out)"
            raise CryoswayError(message)
    if not residues:
        message = f"{sequences} holds no protein sequences"
        raise CryoswayError(message)
    if bad:
        write_json(job.path / "left_out.json", bad)
        job.log(f"{len(bad)} records are left out; see left_out.json")
    return residues


@final
@dataclass(frozen=True)
class _Embedding:
    """The work of a process.

    Attributes
    ----------
    job : JobFolder
        Its folder.
    sequences : path
        FASTA.
    options : EmbedOptions
        Of the command.
    model : LanguageModel
        The network.
    """

    job: JobFolder
    sequences: str | Path
    options: EmbedOptions
    model: LanguageModel

    def run(self, residues: int) -> None:
        """Write what is not yet written."""
        path = self.job.path / MANIFEST
        done: list[dict[str, Any]] = read_json(path) if path.exists() else []
        known = sum(entry["residues"] for entry in done)
        (self.job.path / FOLDER).mkdir(exist_ok=True)
        total = max(known + 1, residues // self.options.shard[1])
        with self.job.stage("embedding"), self._progress(total, known) as progress:
            last = max((entry["number"] for entry in done), default=-1)
            for number, records in self._own_groups():
                if number <= last:
                    continue
                done.append(self._write(number, records))
                write_json(path, done)
                progress.advance(done[-1]["residues"])
        self._finish(done)

    def _progress(self, total: int, done: int) -> Progress:
        return self.job.progress(total, "residues", done=done)

    def _own_groups(self) -> Iterator[tuple[int, list[SequenceRecord]]]:
        """Give the groups of records that are this process's, with their numbers."""
        part, parts = self.options.shard
        for number, records in enumerate(self._groups()):
            if number % parts == part - 1:
                yield number, records

    def _groups(self) -> Iterator[list[SequenceRecord]]:
        """Cut the stream into groups of about as many residues; each becomes a file."""
        records, residues = [], 0
        for entry in _read(self.sequences, self.options):
            if isinstance(entry, SequenceRecord):
                records.append(entry)
                residues += len(entry)
            if residues >= self.options.shard_residues:
                yield records
                records, residues = [], 0
        if records:
            yield records

    def _write(self, number: int, records: list[SequenceRecord]) -> dict[str, Any]:
        options = self.options
        found = embed_sequences(
            self.model,
            [record.sequence for record in records],
            layers=options.layers,
            per_residue=options.per != "sequence",
            batch_tokens=options.batch_tokens,
        )
        path = self.job.path / FOLDER / f"{number:06d}.{options.format}"
        write_shard(path, records, found, per=options.per, dtype=options.dtype)
        return {
            "number": number,
            "file": f"{FOLDER}/{path.name}",
            "sequences": len(records),
            "residues": sum(map(len, records)),
        }

    def _finish(self, done: list[dict[str, Any]]) -> None:
        import pandas as pd

        rows = [
            {"name": name, "file": entry["file"], "row": row}
            for entry in done
            for row, name in enumerate(read_names(self.job.path / entry["file"]))
        ]
        write_table(self.job.path / "index.parquet", pd.DataFrame(rows))
        counts = {name: sum(entry[name] for entry in done) for name in ("sequences", "residues")}
        width = int(self.model.network.config.hidden_size)
        what = {**counts, "width": width, "precision": self.model.precision}
        self.job.update(embeddings=what)
        self.job.log(f"{counts['sequences']} sequences of {counts['residues']} residues")
