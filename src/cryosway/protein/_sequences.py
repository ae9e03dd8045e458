"""Protein sequences in FASTA: read as a stream, and checked before anything is computed."""

import gzip
import hashlib
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, final

from cryosway._errors import CryoswayError, CryoswayWarning

#: The twenty amino acids, and what stands for several or for rare ones.
AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
RARE_LETTERS = "BOUXZ"

_LETTERS = frozenset(AMINO_ACIDS + RARE_LETTERS)
_NUCLEOTIDES = frozenset("ACGTUN")
_LEAST_NUCLEOTIDES = 20
_GAPS = frozenset("-.")
_CHAIN_BREAK = ":"
_GZIP_MAGIC = b"\x1f\x8b"


@final
@dataclass(frozen=True)
class SequenceRecord:
    """A record of a FASTA file.

    Attributes
    ----------
    name : str
        The header's first word.
    description : str
        The whole header.
    sequence : str
        One letter per residue, as in the file; `clean_records` makes it upper case and takes a
        final ``*`` off. The chains of a complex are separated by ``:``.
    line : int
        Of the header in its file, from 1.
    """

    name: str
    description: str
    sequence: str
    line: int = 0

    def __len__(self) -> int:
        return len(self.sequence) - self.sequence.count(_CHAIN_BREAK)

    @property
    def chains(self) -> tuple[str, ...]:
        """The sequences of the chains; one for a protein alone."""
        return tuple(self.sequence.split(_CHAIN_BREAK))

    @property
    def digest(self) -> str:
        """SHA-256 of the sequence: what it is known by where names may change."""
        return hashlib.sha256(self.sequence.encode()).hexdigest()


@final
@dataclass(frozen=True)
class BadRecord:
    """A record that cannot be used, and why.

    Attributes
    ----------
    record : SequenceRecord
        As read.
    problem : str
        One sentence, which names the file and the line and says how to mend it.
    """

    record: SequenceRecord
    problem: str


def stream_fasta(path: str | Path) -> Iterator[SequenceRecord]:
    """Read the records of a FASTA file one after the other, unchecked.

    Parameters
    ----------
    path : path
        FASTA, also gzipped.

    Yields
    ------
    SequenceRecord
        In the order of the file.

    Raises
    ------
    CryoswayError
        When the file cannot be read, or does not begin with ``>``.
    """
    try:
        with _open_text(Path(path)) as file:
            yield from _split_records(file, path)
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"{path} cannot be read ({reason}); is it a FASTA file, and the path right?"
        raise CryoswayError(message) from None
    except (UnicodeDecodeError, EOFError):
        message = f"{path} is not a whole text file; give a FASTA file, plain or gzipped"
        raise CryoswayError(message) from None


def read_sequences(
    path: str | Path, *, complexes: bool = False, longest: int | None = None
) -> list[SequenceRecord]:
    """Read and check all records of a FASTA file.

    Parameters
    ----------
    path : path
        FASTA, also gzipped.
    complexes : bool, optional
        Whether ``:`` may separate the chains of a complex.
    longest : int, optional
        Residues of a record at most.

    Returns
    -------
    list of SequenceRecord
        Upper case, in the order of the file; a repetition of a record is left out.

    Raises
    ------
    CryoswayError
        At the first record that is not a protein sequence; see `clean_records` for taking the
        others nevertheless.
    """
    kept = []
    for entry in clean_records(stream_fasta(path), path, complexes=complexes, longest=longest):
        if isinstance(entry, BadRecord):
            raise CryoswayError(entry.problem)
        kept.append(entry)
    if not kept:
        message = f"{path} holds no sequences; a FASTA file has lines >name and sequences below"
        raise CryoswayError(message)
    return kept


def clean_records(
    records: Iterable[SequenceRecord],
    source: str | Path,
    *,
    complexes: bool = False,
    longest: int | None = None,
) -> Iterator[SequenceRecord | BadRecord]:
    """Check records as they pass, and make them upper case.

    A record that repeats another, name and sequence, is left out; that, and lower case, is told
    in one warning at the end.

    Parameters
    ----------
    records : iterable of SequenceRecord
        As `stream_fasta` gives them.
    source : path
        Named in the messages.
    complexes : bool, optional
        Whether ``:`` may separate the chains of a complex.
    longest : int, optional
        Residues of a record at most.

    Yields
    ------
    SequenceRecord or BadRecord
        Upper case; or what is wrong with it.
    """
    seen: dict[int, int] = {}  # hashes: names of millions of records need not stay
    changed: Counter[str] = Counter()
    for record in records:
        sequence = record.sequence.upper().removesuffix("*")
        cleaned = SequenceRecord(record.name, record.description, sequence, record.line)
        problem = find_problem(cleaned, complexes=complexes, longest=longest)
        name, content = hash(record.name), hash(sequence)
        repeated = seen.get(name) == content
        if problem is None and seen.setdefault(name, content) != content:
            problem = "has the name of an earlier record with another sequence; rename one"
        if problem is not None:
            place = f"{source} line {record.line}: {record.name or 'a record without a name'}"
            yield BadRecord(record, f"{place} {problem}")
        elif repeated:
            changed["repeated an earlier one and were left out"] += 1
        else:
            changed["had lower case or a final *, read without"] += record.sequence != sequence
            yield cleaned
    _tell(changed, source)


def find_problem(
    record: SequenceRecord, *, complexes: bool = False, longest: int | None = None
) -> str | None:
    """Find what makes a record unusable as a protein.

    Parameters
    ----------
    record : SequenceRecord
        Upper case.
    complexes : bool, optional
        Whether ``:`` may separate chains.
    longest : int, optional
        Residues at most.

    Returns
    -------
    str or None
        What follows the record's name in a sentence.

    Examples
    --------
    >>> find_problem(SequenceRecord("a", "a", "MKV"))
    >>> find_problem(SequenceRecord("b", "b", "MK-V"))
    'is aligned: residue 3 is a gap (-); take the gaps out'
    """
    if not record.name:
        return "needs a name after >"
    chains = record.chains if complexes else (record.sequence,)
    if not all(chains):
        return "has no residues; take it out" if len(chains) == 1 else "has an empty chain; see :"
    if longest is not None and len(record) > longest:
        return (
            f"has {len(record)} residues, more than the {longest} that are allowed; cut it into "
            "domains, or allow more"
        )
    for chain in chains:
        problem = _find_letter_problem(chain)
        if problem:
            return problem
    return None


def _find_letter_problem(sequence: str) -> str | None:
    letters = frozenset(sequence)
    if letters <= _NUCLEOTIDES and len(sequence) >= _LEAST_NUCLEOTIDES and len(letters) > 2:
        return "looks like DNA or RNA, not protein: only letters of nucleotides; translate it first"
    strange = letters - _LETTERS
    if not strange:
        return None
    place = next(n for n, letter in enumerate(sequence) if letter in strange)
    letter = sequence[place]
    if letter in _GAPS:
        return f"is aligned: residue {place + 1} is a gap ({letter}); take the gaps out"
    if letter == _CHAIN_BREAK:
        return "is a complex (it holds :), which this command does not take; give one chain each"
    if letter == "*":
        return f"has a stop (*) at residue {place + 1}; cut it there"
    return f"has {letter!r} at residue {place + 1}, which is no amino acid; put X where unknown"


def _tell(changed: "Counter[str]", source: str | Path) -> None:
    said = [f"{count} {what}" for what, count in changed.items() if count]
    if said:
        message = f"{source}: of the records, {'; '.join(said)}"
        warnings.warn(message, CryoswayWarning, stacklevel=2)


def _open_text(path: Path) -> TextIO:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
    return gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8")


def _split_records(file: TextIO, path: str | Path) -> Iterator[SequenceRecord]:
    header: str | None = None
    start, parts = 0, list[str]()
    for number, line in enumerate(file, 1):
        text = line.strip()
        if text.startswith(">"):
            if header is not None:
                yield _make_record(header, parts, start)
            header, start, parts = text[1:].strip(), number, []
        elif header is not None:
            parts.append("".join(text.split()))
        elif text:
            message = f"{path} line {number}: a FASTA file begins with >name, not {text[:20]!r}"
            raise CryoswayError(message)
    if header is not None:
        yield _make_record(header, parts, start)


def _make_record(header: str, parts: list[str], line: int) -> SequenceRecord:
    name = header.split(maxsplit=1)[0] if header else ""
    return SequenceRecord(name, header, "".join(parts), line)
