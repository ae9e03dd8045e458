"""File names from headers of FASTA files, which hold blanks, slashes and bars."""

import re
from collections.abc import Sequence

from cryosway.protein._sequences import SequenceRecord

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 80


def choose_file_names(records: Sequence[SequenceRecord]) -> list[str]:
    """Give each record a name that every file system takes, the same for the same records.

    Names that differ in nothing but what is replaced, or in case, get the start of the sequence's
    SHA-256, and the number of the record where that is the same too.

    Examples
    --------
    >>> choose_file_names([SequenceRecord("sp|P1/2|A", "", "MKV"), SequenceRecord("..", "", "MA")])
    ['sp_P1_2_A', 'protein']
    """
    plain = [_clean(record.name) for record in records]
    count: dict[str, int] = {}
    for name in plain:
        count[name.lower()] = count.get(name.lower(), 0) + 1
    chosen, taken = [], set()
    for number, (name, record) in enumerate(zip(plain, records, strict=True), start=1):
        own = name if count[name.lower()] == 1 else f"{name}-{record.digest[:8]}"
        own = own if own.lower() not in taken else f"{own}-{number}"
        taken.add(own.lower())
        chosen.append(own)
    return chosen


def _clean(name: str) -> str:
    return _UNSAFE.sub("_", name).strip("._-")[:_LONGEST] or "protein"
