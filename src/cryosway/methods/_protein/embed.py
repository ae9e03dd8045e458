"""`embed`: representations of sequences by a protein language model."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from cryosway.engine import (
    JobFolder,
    read_json,
    select_device,
    write_json,
    write_table,
)
from cryosway.jobs import Job, open_job
from cryosway.methods._protein.embed_files import read_names, write_shard
from cryosway.methods._protein.options import EmbedOptions
from cryosway.methods._protein.parts import choose_folder, find_part
from cryosway.methods._protein.records import note_left_out, stream_records, work_within_memory
from cryosway.methods._shared_choices import fingerprint_file
from cryosway.protein import SequenceRecord, open_checkpoint
from cryosway.protein.language import Embeddings, LanguageModel, embed_sequences, resolve_layers

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
    shard, device = find_part(settings.shard, device)
    checkpoint = open_checkpoint(settings.checkpoint, fetch=settings.fetch)
    layers = resolve_layers(settings.layers, checkpoint.layers)
    inputs = {"sequences": fingerprint_file(sequences), "checkpoint": checkpoint.fingerprint()}
    folder = choose_folder(out, shard)
    config = settings.model_copy(update={"shard": shard, "layers": layers})
    with JobFolder.start(
        folder, "protein embed", config, inputs, sources={"sequences": [Path(sequences)]},
        resume=resume, overwrite=overwrite,
    ) as job:  # fmt: skip
        if not job.already_finished:
            left_out: list[str] = []
            with job.stage("reading"):  # and bad records are met before anything is computed
                count = sum(map(len, _read(sequences, config, left_out)))
                note_left_out(job, left_out)
            model = LanguageModel(
                checkpoint,
                select_device(device),
                precision=config.precision,
                threads=threads,
                may_lack=("contact_head", "lm_head"),
            )
            _Embedding(job, sequences, config, model, left_out).run(count)
    return open_job(folder)


def _read(
    sequences: str | Path, options: EmbedOptions, left_out: list[str]
) -> Iterator[SequenceRecord]:
    return stream_records(
        sequences, longest=options.longest, skip_bad=options.skip_bad, left_out=left_out
    )


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
    left_out : list of str
        What is wrong with records that are left out.
    """

    job: JobFolder
    sequences: str | Path
    options: EmbedOptions
    model: LanguageModel
    left_out: list[str]

    def run(self, residues: int) -> None:
        """Write what is not yet written."""
        path = self.job.path / MANIFEST
        done: list[dict[str, Any]] = read_json(path) if path.exists() else []
        known = sum(entry["residues"] for entry in done)
        (self.job.path / FOLDER).mkdir(exist_ok=True)
        total = max(known + 1, residues // self.options.shard[1])
        with (
            self.job.stage("embedding"),
            self.job.progress(total, "residues", done=known) as progress,
        ):
            last = max((entry["number"] for entry in done), default=-1)
            for number, records in self._own_groups():
                if number <= last:
                    continue
                done.append(self._write(number, records))
                write_json(path, done)
                progress.advance(done[-1]["residues"])
        self._finish(done)

    def _own_groups(self) -> Iterator[tuple[int, list[SequenceRecord]]]:
        """Give the groups of records that are this process's, with their numbers."""
        part, parts = self.options.shard
        for number, records in enumerate(self._groups()):
            if number % parts == part - 1:
                yield number, records

    def _groups(self) -> Iterator[list[SequenceRecord]]:
        """Cut the stream into groups of about as many residues; each becomes a file."""
        records, residues = [], 0
        for record in _read(self.sequences, self.options, []):
            records.append(record)
            residues += len(record)
            if residues >= self.options.shard_residues:
                yield records
                records, residues = [], 0
        if records:
            yield records

    def _write(self, number: int, group: list[SequenceRecord]) -> dict[str, Any]:
        """Write a group's file, without what does not fit into memory; no file where all is."""
        options = self.options
        records, found, left_out = work_within_memory(self._embed, group, skip_bad=options.skip_bad)
        file = f"{FOLDER}/{number:06d}.{options.format}"
        if found is not None:
            path = self.job.path / file
            write_shard(path, records, found, per=options.per, dtype=options.dtype)
        entry = {
            "number": number,
            "file": file if records else None,
            "sequences": len(records),
            "residues": sum(map(len, records)),
        }
        return entry | ({"left_out": left_out} if left_out else {})

    def _embed(self, records: list[SequenceRecord]) -> dict[int, Embeddings]:
        options = self.options
        return embed_sequences(
            self.model,
            [record.sequence for record in records],
            layers=options.layers,
            per_residue=options.per != "sequence",
            batch_tokens=options.batch_tokens,
        )

    def _finish(self, done: list[dict[str, Any]]) -> None:
        import pandas as pd

        rows = [
            {"name": name, "file": entry["file"], "row": row}
            for entry in done
            if entry["file"] is not None
            for row, name in enumerate(read_names(self.job.path / entry["file"]))
        ]
        write_table(
            self.job.path / "index.parquet", pd.DataFrame(rows, columns=["name", "file", "row"])
        )
        too_long = [problem for entry in done for problem in entry.get("left_out", ())]
        if too_long:
            note_left_out(self.job, [*self.left_out, *too_long])
        counts = {name: sum(entry[name] for entry in done) for name in ("sequences", "residues")}
        width = int(self.model.network.config.hidden_size)
        what = {**counts, "width": width, "precision": self.model.precision}
        self.job.update(embeddings=what)
        self.job.log(f"{counts['sequences']} sequences of {counts['residues']} residues")
