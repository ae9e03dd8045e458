"""What folds: one small interface for networks and for files of other programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, final, runtime_checkable

from cryosway._errors import CryoswayError
from cryosway.protein._sequences import SequenceRecord
from cryosway.protein.prediction import Prediction, read_prediction, require_models


@runtime_checkable
class FoldingEngine(Protocol):
    """Turns sequences into predictions."""

    @property
    def name(self) -> str:
        """Which it is, for the results."""

    def choose_chunk(self, length: int, count: int) -> int | None:
        """Choose how many rows of pairs are computed at a time for `count` of `length` residues.

        None computes all at once.
        """

    def fold(self, records: Sequence[SequenceRecord], chunk: int | None) -> list[Prediction]:
        """Fold records, whose `chains` may be several, as one batch.

        Raises
        ------
        CryoswayError
            When a record cannot be folded.
        MemoryError
            When the device's memory is too small for the batch at this chunk.
        """


@final
class FileEngine:
    """Takes predictions that other programs have made, from a folder, by their sequences.

    Parameters
    ----------
    folder
        With models (mmCIF, PDB) and their confidences beside them, as AlphaFold DB, ColabFold,
        AlphaFold 3 and Boltz write them, also in folders of folders.
    """

    name = "files"

    def __init__(self, folder: Path) -> None:
        paths = require_models(folder)
        self._folder = folder
        self._found: dict[str, Path] = {}
        for path in paths:
            self._found.setdefault(_sort_chains(read_prediction(path).sequence), path)

    def choose_chunk(self, length: int, count: int) -> int | None:
        """Choose nothing: files are only read."""
        return None

    def fold(self, records: Sequence[SequenceRecord], chunk: int | None) -> list[Prediction]:
        """Read the predictions of records."""
        return [self._read(record) for record in records]

    def _read(self, record: SequenceRecord) -> Prediction:
        path = self._found.get(_sort_chains(record.sequence))
        if path is None:
            msg = f"no model in {self._folder} has the sequence of {record.name}"
            raise CryoswayError(msg)
        return read_prediction(path)


def _sort_chains(sequence: str) -> str:
    return ":".join(sorted(sequence.split(":")))
