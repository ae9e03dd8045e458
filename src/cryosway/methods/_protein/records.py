"""The records of a FASTA file that a language model reads, and those that it leaves out."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder, write_json
from cryosway.protein import BadRecord, SequenceRecord, clean_records, stream_fasta
from cryosway.protein.language import TooLongError

Result = TypeVar("Result")

LEFT_OUT = "left_out.json"


def stream_records(
    path: str | Path, *, longest: int | None, skip_bad: bool, left_out: list[str]
) -> Iterator[SequenceRecord]:
    """Read the records of a FASTA file one after the other.

    Parameters
    ----------
    path
        FASTA, also gzipped.
    longest
        Residues of a record at most.
    skip_bad
        Whether records that are no proteins are left out.
    left_out
        Gets what is wrong with these.

    Raises
    ------
    CryoswayError
        At a bad record that is not to be left out, and at the end where there were only such.
    """
    count = 0
    for entry in clean_records(stream_fasta(path), path, longest=longest):
        if not isinstance(entry, BadRecord):
            count += 1
            yield entry
        elif skip_bad:
            left_out.append(entry.problem)
        else:
            msg = f"{entry.problem} (--skip-bad leaves such records out)"
            raise CryoswayError(msg)
    if not count:
        msg = f"{path} holds no protein sequences"
        raise CryoswayError(msg)


def work_within_memory(
    work: Callable[[list[SequenceRecord]], Result],
    records: Sequence[SequenceRecord],
    *,
    skip_bad: bool,
) -> tuple[list[SequenceRecord], Result | None, list[str]]:
    """Work on some records; with `skip_bad` on those that fit into memory, each by itself.

    Returns
    -------
    records
        Those that were worked on.
    result
        What the work gave; None where none fits.
    left_out
        A sentence on each of the others.
    """
    kept, left_out = list(records), list[str]()
    while kept:
        try:
            return kept, work(kept), left_out
        except TooLongError as error:
            if not skip_bad:
                raise
            record = kept.pop(error.number)
            left_out.append(f"{record.name}: {error}")
    return kept, None, left_out


def note_left_out(job: JobFolder, problems: Sequence[str]) -> None:
    """Write what is wrong with records that are left out, if there are any."""
    if problems:
        write_json(job.path / LEFT_OUT, list(problems))
        job.log(f"{len(problems)} records are left out; see {LEFT_OUT}")
