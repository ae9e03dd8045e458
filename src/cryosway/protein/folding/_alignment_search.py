"""Alignments for folding: relatives of a sequence, found in a database by MMseqs2."""

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import final

from cryosway._errors import CryoswayError
from cryosway.protein._mmseqs import find_mmseqs, run_mmseqs
from cryosway.protein._sequences import SequenceRecord

#: Three rounds, the later ones by profile; relatives that align with half of the sequence.
_SEARCH = ("--num-iterations", "3", "-e", "0.001", "-c", "0.5", "--cov-mode", "2")
_A3M = ("--msa-format-mode", "5")
_OTHERWISE = "give alignments (A3M) that another program has made with --alignments"


@final
class AlignmentSearch:
    """A database of sequences to find relatives in.

    Parameters
    ----------
    database
        FASTA, also gzipped; the larger, as UniRef50, the better the alignments.
    threads
        Of MMseqs2.

    Raises
    ------
    CryoswayError
        When there is no such file, or MMseqs2 is not installed.
    """

    def __init__(self, database: Path, threads: int = 1) -> None:
        if not database.is_file():
            msg = f"{database}: there is no such database; give a FASTA file of many sequences"
            raise CryoswayError(msg)
        if find_mmseqs() is None:
            run_mmseqs((), "", _OTHERWISE)
        self._database, self._threads = database, ("--threads", str(threads))
        self._folder = Path(tempfile.mkdtemp(prefix="cryosway-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def align(self, record: SequenceRecord) -> str:
        """Give an alignment in A3M, of which the first row is the sequence of the record."""
        target = self._folder / "database"
        if not target.exists():
            self._run("createdb", self._database, target)
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            work = Path(name)
            fasta, query, found, rows = (work / x for x in ("fasta", "query", "found", "rows"))
            fasta.write_text(f">{record.name}\n{record.sequence}\n", encoding="utf-8")
            self._run("createdb", fasta, query)
            self._run("search", query, target, found, work / "steps", *_SEARCH, *self._threads)
            self._run("result2msa", query, target, found, rows, *_A3M, *self._threads)
            return rows.read_text(encoding="utf-8").rstrip("\0")

    def _run(self, *arguments: str | Path) -> None:
        run_mmseqs(arguments, f"search {self._database}", _OTHERWISE)
