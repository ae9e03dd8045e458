"""`protein atlas`: many predictions in a few files, found again by sequence or confidence."""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder, read_table, write_atomically, write_table
from cryosway.jobs import Job, open_job
from cryosway.methods._protein.fold_options import AtlasOptions
from cryosway.methods._protein.fold_results import describe_prediction, describe_record
from cryosway.protein import Prediction, SequenceRecord, read_prediction, write_prediction
from cryosway.protein.prediction import SCORES, list_models

INDEX = "atlas.parquet"
_STRUCTURES = "structures"
_COLUMNS = (
    "name", "length", "chains", "plddt", "ptm", "iptm", "pae", "high_confidence", "flaws",
    "sha256", "sequence",
)  # fmt: skip
#: Rows of a file of structures that are read together.
_ROWS_TOGETHER = 16


def atlas(
    folders: Sequence[str | Path] | str | Path,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    **options: Any,
) -> Job:
    """Gather predictions into an atlas: one table, and structures in files of a thousand.

    Of predictions of the same sequence the one with the highest pLDDT · pTM is kept.

    Parameters
    ----------
    folders : path, or sequence of paths
        Jobs of `fold` (also the parts of one, see ``shard``), or folders with models that other
        programs have made, their confidences beside them.
    out : path
        Job folder: ``atlas.parquet`` (name, confidence, length, sequence and its SHA-256, and
        where the structure is) and ``structures/00000.parquet``, ….
    resume, overwrite : bool
        Whether a finished atlas is kept, or another job replaced.
    **options
        The fields of `AtlasOptions`.

    Returns
    -------
    Job
        See `Atlas` for searching it.

    Raises
    ------
    CryoswayError
        When there are no predictions.

    Examples
    --------
    >>> import cryosway as cs
    >>> cs.atlas(["folds1", "folds2"], "atlas")  # doctest: +SKIP
    """
    settings = AtlasOptions.check("protein atlas", options)
    paths = [Path(folders)] if isinstance(folders, str | Path) else [Path(f) for f in folders]
    inputs = {"folders": [str(path.resolve()) for path in paths]}
    with JobFolder.start(
        out, "protein atlas", settings, inputs, sources={"folders": paths},
        resume=resume, overwrite=overwrite,
    ) as job:  # fmt: skip
        if not job.already_finished:
            _gather(job, paths, settings)
    return open_job(out)


@final
class Atlas:
    """An atlas that is opened for searching.

    Attributes
    ----------
    path : Path
        Its folder.
    table : DataFrame
        A row per prediction.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / INDEX).exists():
            msg = f"{path} is no atlas: it has no {INDEX}; make one with cryosway protein atlas"
            raise CryoswayError(msg)
        self.table = read_table(self.path / INDEX)

    def __len__(self) -> int:
        return len(self.table)

    def model(self, row: int) -> bytes:
        """Give the mmCIF of a row of the table."""
        return gzip.decompress(self._read(row, "model"))

    def write(self, rows: Sequence[int], folder: str | Path, *, scores: bool = True) -> list[Path]:
        """Write the models of rows, and the scores of those that have some, as `fold` does."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        paths = []
        for row in rows:
            name = str(self.table["key"].iloc[row])
            for column, ending in (("scores", SCORES), ("model", ".cif")):
                content = self._read(row, column) if scores or column == "model" else b""
                if content:
                    with write_atomically(target / f"{name}{ending}") as temporary:
                        temporary.write_bytes(gzip.decompress(content))
            paths.append(target / f"{name}.cif")
        return paths

    def _read(self, row: int, column: str) -> bytes:
        place = self.table.iloc[row]
        path = self.path / _STRUCTURES / f"{int(place['shard']):05d}.parquet"
        at = int(place["row"])
        with pq.ParquetFile(path) as file:
            group = file.read_row_group(at // _ROWS_TOGETHER, columns=[column])
        return group[column][at % _ROWS_TOGETHER].as_py() or b""


def _gather(job: JobFolder, folders: Sequence[Path], options: AtlasOptions) -> None:
    with job.stage("reading"):
        found = _choose_best(_list_models(folders), job, options)
    if not found:
        listed = ", ".join(str(folder) for folder in folders)
        msg = f"{listed}: no prediction (mmCIF or PDB) is as sure as asked for; lower min_plddt"
        raise CryoswayError(msg)
    with job.stage("writing"):
        (job.path / _STRUCTURES).mkdir(exist_ok=True)
        for shard, first in enumerate(range(0, len(found), options.shard_size)):
            part = found[first : first + options.shard_size]
            _write_shard(job.path / _STRUCTURES / f"{shard:05d}.parquet", part)
        table = pd.DataFrame([row for row, _ in found])
        place = np.arange(len(table))
        table["shard"], table["row"] = place // options.shard_size, place % options.shard_size
        write_table(job.path / INDEX, table)
    sure = int(table["high_confidence"].sum())
    job.update(atlas={"predictions": len(table), "high_confidence": sure})
    job.log(f"{len(table)} predictions, {sure} of them with high confidence")


def _list_models(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        if not folder.is_dir():
            msg = f"{folder} is no folder; give jobs of cryosway protein fold, or folders of models"
            raise CryoswayError(msg)
        yield from list_models(folder)


def _choose_best(
    paths: Iterator[Path], job: JobFolder, options: AtlasOptions
) -> list[tuple[dict[str, Any], Path]]:
    """Read predictions; of each sequence the surest stays, in the order of names."""
    best: dict[str, tuple[float, dict[str, Any], Path]] = {}
    for path in paths:
        try:
            prediction = read_prediction(path)
        except CryoswayError as error:
            job.log(f"left out: {error}")
            continue
        unsure = prediction.ptm is not None and prediction.ptm < options.min_ptm
        if prediction.mean_plddt < options.min_plddt or unsure:
            continue
        row = _describe(prediction)
        score = prediction.mean_plddt * (1.0 if prediction.ptm is None else prediction.ptm)
        kept = best.get(row["sha256"])
        if kept is None or score > kept[0]:
            best[row["sha256"]] = (score, row, path)
    ordered = sorted(best.values(), key=lambda entry: (entry[1]["name"], entry[1]["sha256"]))
    return [(row, path) for _, row, path in ordered]


def _describe(prediction: Prediction) -> dict[str, Any]:
    record = SequenceRecord(prediction.name, "", prediction.sequence)
    row = describe_record(record) | describe_prediction(prediction)
    kept = {name: row[name] for name in _COLUMNS}
    return {"key": f"{prediction.name}-{record.digest[:8]}", **kept}


def _write_shard(path: Path, part: Sequence[tuple[dict[str, Any], Path]]) -> None:
    models, scores = [], []
    for row, source in part:
        prediction = read_prediction(source)
        # Written anew, so that all of an atlas are mmCIF with pLDDT from 0 to 100.
        files = write_prediction(prediction, path.with_name(f".{row['key']}.cif"))
        packed = [gzip.compress(file.read_bytes(), mtime=0) for file in files]
        for file in files:
            file.unlink()
        models.append(packed[0])
        scores.append(packed[1] if len(packed) > 1 else b"")
    columns = {"key": [row["key"] for row, _ in part], "model": models, "scores": scores}
    with write_atomically(path) as temporary:
        pq.write_table(
            pa.table(columns), temporary, compression="none", row_group_size=_ROWS_TOGETHER
        )
