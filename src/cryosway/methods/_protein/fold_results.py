"""What `fold` leaves behind: a model per record, and a table of all."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import pandas as pd

from cryosway.engine import JobFolder, write_atomically, write_json, write_table
from cryosway.protein import Prediction, SequenceRecord, write_prediction
from cryosway.protein.folding import SUBSTITUTES, Failure, Outcome, find_flaws
from cryosway.report import plot_confidence, write_figure

TABLE = "predictions.parquet"
#: The atlas of ESMFold calls both above these high confidence.
HIGH_PLDDT, HIGH_PTM = 70.0, 0.7
_NOTES = "records.jsonl"
_PER_FOLDER = 1_000
_SHOWN = 3
_NOTHING = SequenceRecord("", "", "")  # whose row names the columns, where a part has no records


@final
class FoldRecords:
    """Rows of the records done so far, kept so that an interrupted run goes on.

    Parameters
    ----------
    folder
        Of the job.
    names
        File name of each record.
    pictures
        How many records get a picture, at most.
    many
        Whether models go to folders of a thousand.
    """

    def __init__(
        self, folder: Path, names: Mapping[SequenceRecord, str], *, pictures: int, many: bool
    ) -> None:
        self._folder, self._names, self._many = folder, dict(names), many
        self._pictured = set(list(self._names)[:pictures])
        self._numbers = {record: number for number, record in enumerate(self._names)}
        self._path = folder / _NOTES
        self.rows = _read_lines(self._path)
        if self._path.exists():  # without what an interruption cut short
            lines = [_as_line(key, row) for key, row in self.rows.items()]
            with write_atomically(self._path) as temporary:
                temporary.write_text("".join(lines), encoding="utf-8")

    def has_all(self, batch: Iterable[SequenceRecord]) -> bool:
        """Tell whether all records of a batch are done."""
        return all(self._names[record] in self.rows for record in batch)

    def row(self, record: SequenceRecord) -> dict[str, Any]:
        """Give the row of a record that is done."""
        return self.rows[self._names[record]]

    def keep(self, record: SequenceRecord, outcome: Outcome) -> None:
        """Write a prediction's files, and then its row."""
        name = self._names[record]
        row = describe_record(record)
        if isinstance(outcome, Failure):
            row |= {"status": "failed", "problem": outcome.problem}
        else:
            row |= describe_prediction(outcome) | {"file": self._write(record, name, outcome)}
        self.rows[name] = row
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_as_line(name, row))

    def _write(self, record: SequenceRecord, name: str, prediction: Prediction) -> str:
        folder = Path("models")
        if self._many:
            folder /= f"{self._numbers[record] // _PER_FOLDER:04d}"
        (self._folder / folder).mkdir(parents=True, exist_ok=True)
        if record in self._pictured:
            drawn = plot_confidence(prediction.plddt, prediction.pae, prediction.chains)
            write_figure(self._folder / "figures" / f"{name}.png", drawn)
        write_prediction(prediction, self._folder / folder / f"{name}.cif")
        return str(folder / f"{name}.cif")

    def forget(self) -> None:
        """Remove the notes, once the table has what they hold."""
        self._path.unlink(missing_ok=True)


def describe_record(record: SequenceRecord) -> dict[str, Any]:
    """Give what a row says of a record."""
    replaced = sorted(set(record.sequence) & SUBSTITUTES.keys())
    return {
        "name": record.name,
        "description": record.description,
        "file": "",
        "status": "folded",
        "problem": "",
        "length": len(record),
        "chains": len(record.chains),
        "plddt": None,
        "ptm": None,
        "iptm": None,
        "pae": None,
        "high_confidence": False,
        "flaws": "",
        "replaced": ", ".join(f"{letter} by {SUBSTITUTES[letter]}" for letter in replaced),
        "sha256": record.digest,
        "sequence": record.sequence,
    }


def describe_prediction(prediction: Prediction) -> dict[str, Any]:
    """Give what a row says of a prediction: rounded, so that the last bits do not show."""
    plddt, ptm = prediction.mean_plddt, prediction.ptm
    flaws = find_flaws(prediction)
    return {
        "plddt": round(plddt, 2),
        "ptm": None if ptm is None else round(ptm, 3),
        "iptm": None if prediction.iptm is None else round(prediction.iptm, 3),
        "pae": None if prediction.pae is None else round(float(prediction.pae.mean()), 2),
        "high_confidence": not flaws and plddt > HIGH_PLDDT and (ptm or 0.0) > HIGH_PTM,
        "flaws": "; ".join(flaws),
    }


def write_summary(
    job: JobFolder,
    records: FoldRecords,
    listed: Sequence[SequenceRecord],
    bad: Sequence[Failure],
    engine: str,
    speed: float | None,
) -> None:
    """Write the table of all records, in the order of the file, and what to say of them.

    `speed` is in residues per second; None where nothing was left to fold.
    """
    rows = [records.row(record) for record in listed]
    rows += [
        describe_record(one.record) | {"status": "refused", "problem": one.problem} for one in bad
    ]
    table = pd.DataFrame(rows, columns=[*describe_record(_NOTHING)])
    scores = ["plddt", "ptm", "iptm", "pae"]
    table[scores] = table[scores].astype(float)
    write_table(job.path / TABLE, table)
    folded = table[table["status"] == "folded"]
    residues = int(folded["length"].sum())
    summary = {
        "engine": engine,
        "records": len(table),
        "folded": len(folded),
        "failed": int((table["status"] == "failed").sum()),
        "refused": int((table["status"] == "refused").sum()),
        "flawed": int((folded["flaws"] != "").sum()),
        "high_confidence": int(folded["high_confidence"].sum()),
        "residues": residues,
        "residues_per_second": None if speed is None else round(speed, 2),
    }
    job.update(fold=summary)
    sentences = _say(summary, table)
    for line in sentences:
        job.log(line)
    _write_supplement(job.path, folded, sentences)
    records.forget()


def _say(summary: Mapping[str, Any], table: pd.DataFrame) -> list[str]:
    speed = summary["residues_per_second"]
    at = f", {speed:g} residues per second" if speed else ""
    lines = [f"{summary['folded']} of {summary['records']} records are folded{at}."]
    if summary["folded"]:
        folded = table[table["status"] == "folded"]
        lines.append(
            f"Median pLDDT {folded['plddt'].median():.1f}; {summary['high_confidence']} with pLDDT "
            f"above {HIGH_PLDDT:g} and pTM above {HIGH_PTM:g}."
        )
    if summary["flawed"]:
        lines.append(
            f"{summary['flawed']} are implausible in their geometry: see flaws in {TABLE}."
        )
    missing = summary["failed"] + summary["refused"]
    if missing:
        first = str(table.loc[table["problem"] != "", "problem"].iloc[0])
        lines.append(f"{missing} could not be folded, the first of them: {first}")
    return lines


def _write_supplement(folder: Path, folded: pd.DataFrame, sentences: list[str]) -> None:
    figures = [
        {
            "file": f"figures/{Path(row['file']).stem}.png",
            "caption": f"{row['name']}: pLDDT of the residues, and the error expected of each "
            "residue's place seen from each other.",
        }
        for row in folded.to_dict("records")
        if (folder / "figures" / f"{Path(row['file']).stem}.png").exists()
    ][:_SHOWN]
    write_json(
        folder / "supplement.json",
        {"title": "Folding", "sentences": sentences, "figures": figures},
    )


def _as_line(key: str, row: Mapping[str, Any]) -> str:
    return json.dumps({"key": key, "row": row}, ensure_ascii=False) + "\n"


def _read_lines(path: Path) -> dict[str, dict[str, Any]]:
    """Read rows; a last line that was cut short does not count."""
    rows: dict[str, dict[str, Any]] = {}
    if not path.exists():
        return rows
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            break
        rows[entry["key"]] = entry["row"]
    return rows
