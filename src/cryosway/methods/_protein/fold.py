"""`protein fold`: from sequences to structures with what is believed of them."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, final

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder, set_threads
from cryosway.jobs import Job, open_job
from cryosway.methods._protein.engines import fingerprint_engine, open_engine
from cryosway.methods._protein.fold_options import FoldOptions
from cryosway.methods._protein.fold_results import FoldRecords, write_summary
from cryosway.methods._protein.parts import choose_folder, find_part
from cryosway.methods._shared_choices import fingerprint_file
from cryosway.protein import BadRecord, SequenceRecord, clean_records, stream_fasta
from cryosway.protein.folding import (
    Failure,
    FoldingEngine,
    choose_file_names,
    fold_batch,
    plan_batches,
)


def fold(
    sequences: str | Path,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Fold the proteins of a FASTA file, alone or as complexes.

    Sequences are folded in batches of about one length. Where memory is too small the batch is
    halved, and then the chunk. A sequence that cannot be folded is listed with the reason and
    stops no other. An interrupted run goes on with the batch at which it stopped.

    Parameters
    ----------
    sequences : path
        FASTA, also gzipped. ``:`` parts the chains of a complex.
    out : path
        Job folder: ``models/NAME.cif`` (B factors are pLDDT, 0 to 100), ``NAME_scores.json``
        (pLDDT, PAE, pTM), ``predictions.parquet`` (a row per record), pictures. A part of several
        (``shard``, or one of several processes) is a job of its own in it.
    resume, overwrite : bool
        Whether to go on with an unfinished job, or to replace another one.
    device : str
        auto, cpu, cuda or cuda:1.
    threads : int, optional
        Threads; all CPUs by default.
    **options
        The fields of `FoldOptions`.

    Returns
    -------
    Job
        Its ``info["fold"]`` says how many were folded, and at how many residues per second.

    Raises
    ------
    CryoswayError
        When there is no checkpoint, or no sequence can be folded.

    Examples
    --------
    >>> import cryosway as cs
    >>> job = cs.fold("proteins.fasta", "folds", checkpoint="esmfold_v1")  # doctest: +SKIP
    >>> job.info["fold"]["folded"]  # doctest: +SKIP
    12
    """
    settings = FoldOptions.check("protein fold", options)
    shard, device = find_part(settings.shard, device)
    settings = settings.model_copy(update={"shard": shard})
    set_threads(threads)
    inputs = {"sequences": fingerprint_file(sequences), **fingerprint_engine(settings)}
    folder = choose_folder(out, shard)
    with JobFolder.start(
        folder, "protein fold", settings, inputs, sources={"sequences": [Path(sequences)]},
        resume=resume, overwrite=overwrite,
    ) as job:  # fmt: skip
        if not job.already_finished:
            _Fold(job, Path(sequences), settings, device).run()
    return open_job(folder)


@final
class _Fold:
    """One run of `fold`."""

    def __init__(self, job: JobFolder, path: Path, options: FoldOptions, device: str) -> None:
        self.job, self.path, self.options, self.device = job, path, options, device

    def run(self) -> None:
        job, options = self.job, self.options
        good, bad = self._read()
        with job.stage("opening"):
            engine = open_engine(options, self.device)
        part, parts = options.shard
        batches = plan_batches(good, options.batch_residues)[part - 1 :: parts]
        names = dict(zip(good, choose_file_names(good), strict=True))
        records = FoldRecords(job.path, names, pictures=options.pictures, many=len(good) > 2_000)
        for failure in bad[part - 1 :: parts]:
            job.log(failure.problem)
        waiting = [batch for batch in batches if not records.has_all(batch)]
        total = sum(len(record) for batch in batches for record in batch)
        left = sum(len(record) for batch in waiting for record in batch)
        began = time.monotonic()
        with (
            job.stage("folding"),
            job.progress(total, "residues", done=total - left) as progress,
        ):
            for batch in waiting:
                self._fold(engine, batch, records)
                progress.advance(sum(map(len, batch)))
        speed = left / (time.monotonic() - began) if waiting else None
        with job.stage("writing"):
            mine = {record for batch in batches for record in batch}
            listed = [record for record in good if record in mine]
            write_summary(job, records, listed, bad[part - 1 :: parts], engine.name, speed)

    def _read(self) -> tuple[list[SequenceRecord], list[Failure]]:
        """Read all records: those that can be folded, and what is wrong with the others."""
        options = self.options
        entries: Iterable[SequenceRecord | BadRecord] = clean_records(
            stream_fasta(self.path), self.path, complexes=True, longest=options.longest
        )
        good: list[SequenceRecord] = []
        bad: list[Failure] = []
        for entry in entries:
            if isinstance(entry, BadRecord):
                bad.append(Failure(entry.record, entry.problem))
            else:
                good.append(entry)
        if options.complex and bad:
            raise CryoswayError(bad[0].problem)
        if not good:
            why = f": {bad[0].problem}" if bad else ""
            msg = f"{self.path} holds no sequence that can be folded{why}"
            raise CryoswayError(msg)
        if options.complex:
            name = self.path.name.removesuffix(".gz").rsplit(".", 1)[0]
            joined = ":".join(record.sequence for record in good)
            good = [SequenceRecord(name, name, joined, good[0].line)]
        return good, bad

    def _fold(
        self, engine: FoldingEngine, batch: list[SequenceRecord], records: FoldRecords
    ) -> None:
        chunk = None if self.options.chunk == "auto" else self.options.chunk
        for record, outcome in fold_batch(engine, batch, chunk=chunk, note=self.job.log):
            if isinstance(outcome, Failure):
                self.job.log(f"{record.name} could not be folded: {outcome.problem}")
            records.keep(record, outcome)
