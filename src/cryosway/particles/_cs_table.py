"""cryoSPARC's data sets as structured arrays: read, joined with passthrough files, written."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.particles._output import replace_file

Table = npt.NDArray[np.void]

_COMPRESSED_MAGIC = b"\x94CSDAT"
_JOB = re.compile(r"(?<![A-Za-z0-9])(J\d+)(?!\d)")


def read_cs(path: Path) -> Table:
    """Read one ``.cs`` file.

    Returns
    -------
    numpy.ndarray
        Shape (N,), structured, with the field ``uid``.

    Raises
    ------
    CryoswayError
        The file is missing, not a cryoSPARC data set, or has a ``uid`` twice.
    """
    try:
        with path.open("rb") as file:
            compressed = file.read(len(_COMPRESSED_MAGIC)) == _COMPRESSED_MAGIC
            file.seek(0)
            table = None if compressed else np.load(file, allow_pickle=False)
    except OSError as error:
        raise CryoswayError(f"cannot read {path}: {error.strerror}; check the path") from error
    except ValueError as error:
        message = f"{path} is not a cryoSPARC data set ({error}); give the .cs file of a job"
        raise CryoswayError(message) from error
    if table is None:
        message = (
            f"{path} is a compressed cryoSPARC stream; save it with cryosparc-tools as "
            "Dataset.load(path).save(path, format=1)"
        )
        raise CryoswayError(message)
    if table.dtype.names is None or "uid" not in table.dtype.names:
        message = f"{path} is not a cryoSPARC data set (it has no uid); give the .cs file of a job"
        raise CryoswayError(message)
    _require_unique(table, path)
    return np.asarray(table)


def _require_unique(table: Table, path: Path) -> None:
    uids, counts = np.unique(table["uid"], return_counts=True)
    if (counts > 1).any():
        repeated = int(np.flatnonzero(counts > 1)[0])
        rows = np.flatnonzero(table["uid"] == uids[repeated])[:2] + 1
        message = (
            f"{path.name} has uid {uids[repeated]} twice (rows {rows[0]} and {rows[1]}; "
            f"{int((counts > 1).sum())} uids are repeated); remove the duplicates"
        )
        raise CryoswayError(message)


def join_on_uid(main: Table, other: Table, main_path: Path, other_path: Path) -> Table:
    """Add to `main` the fields that only `other` has, rows matched by ``uid``.

    Raises
    ------
    CryoswayError
        `other` lacks particles of `main`.
    """
    order = np.argsort(other["uid"])
    sorted_uids = other["uid"][order]
    found = np.searchsorted(sorted_uids, main["uid"]).clip(max=max(0, len(order) - 1))
    matched = sorted_uids[found] == main["uid"] if len(order) else np.zeros(len(main), bool)
    if not matched.all():
        message = (
            f"{other_path.name} lacks {int((~matched).sum())} of the {len(main)} particles of "
            f"{main_path.name} (the first is uid {main['uid'][~matched][0]}); give the passthrough "
            "file of the same job"
        )
        raise CryoswayError(message)
    rows = order[found]
    new = [name for name in other.dtype.names or () if name not in (main.dtype.names or ())]
    return append_fields(main, {name: other[name][rows] for name in new})


def append_fields(table: Table, fields: dict[str, npt.NDArray[Any]]) -> Table:
    """Return the table with fields added or replaced; the others keep type and order."""
    kept = field_types(table)
    added = [(n, v.dtype, v.shape[1:]) for n, v in fields.items() if n not in kept]
    result = np.empty(len(table), np.dtype([*kept.items(), *added]))
    for name in kept:
        result[name] = table[name]
    for name, values in fields.items():
        result[name] = values
    return result


def find_passthroughs(path: Path, main: Table) -> list[Path]:
    """Find the passthrough files of the same job beside a ``.cs`` file.

    A candidate has ``passthrough`` in its name, the same job number (``J12``) where both have
    one, and every particle of `main`.
    """
    job = _JOB.search(path.name)
    found = []
    for candidate in sorted(path.parent.glob("*passthrough*.cs")):
        other_job = _JOB.search(candidate.name)
        same_job = job is None or other_job is None or job.group(1) == other_job.group(1)
        if candidate.resolve() != path.resolve() and same_job and _covers(candidate, main):
            found.append(candidate)
    return found


def _covers(candidate: Path, main: Table) -> bool:
    try:
        return bool(np.isin(main["uid"], read_cs(candidate)["uid"]).all())
    except CryoswayError:
        return False


def load_joined(paths: Sequence[Path], wanted: Sequence[str]) -> Table:
    """Read a ``.cs`` file and join its passthrough files on ``uid``.

    Parameters
    ----------
    paths : sequence of Path
        The main file, then its passthrough files.
    wanted : sequence of str
        Prefixes of fields (``blob/``, ``ctf/``) for which passthrough files are sought beside
        the main file when none was given.
    """
    table = read_cs(paths[0])
    others = list(paths[1:])
    lacking = [prefix for prefix in wanted if not has_fields(table, prefix)]
    if not others and lacking:
        others = find_passthroughs(paths[0], table)
    for other in others:
        table = join_on_uid(table, read_cs(other), paths[0], other)
    return table


def has_fields(table: Table, prefix: str) -> bool:
    """Whether a table has fields that begin with a prefix."""
    return any(name.startswith(prefix) for name in table.dtype.names or ())


def field_types(table: Table) -> dict[str, np.dtype[Any]]:
    """Return the type of each field, with its shape."""
    return {name: table.dtype[name] for name in table.dtype.names or ()}


def write_cs(path: str | os.PathLike[str], table: Table) -> None:
    """Write a ``.cs`` file, whole or not at all."""
    with replace_file(Path(path)) as partial, partial.open("wb") as file:
        np.save(file, table, allow_pickle=False)
