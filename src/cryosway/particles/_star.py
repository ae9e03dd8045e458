"""STAR files: gemmi reads the grammar, a plain writer keeps every value as it was written."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cryosway._errors import CryoswayError
from cryosway.particles._output import replace_file

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_ROWS_PER_WRITE = 50_000
_VERSION_MARK = b"# version "
_VERSION_COMMENT = re.compile(rb"# version (\d+)\s*\n(?:(?:#.*|\s*)\n)*data_(\S*)")
# Values that the CIF grammar refuses without quotes: those that begin with a reserved word (a
# micrograph "data_7/x.mrc") and those with letters beyond ASCII.
_RESERVED = r"(?:data_|loop_|save_|stop_|global_|_|\$)\S*|[!-~]*[^\x00-\x7f]\S*"
_RESERVED_LATER = re.compile(rf"(?<=[ \t])({_RESERVED})")
_RESERVED_FIRST = re.compile(
    r"^((?:data_|save_|global_)\S+(?=[ \t]+[^\s#])|[!-~]*[^\x00-\x7f]\S*)", re.MULTILINE
)
_QUOTED_RESERVED = re.compile(rf'^"({_RESERVED})"$')


@dataclass(frozen=True)
class StarBlock:
    """One ``data_`` block of a STAR file, with its values as the text that was in the file.

    Attributes
    ----------
    name : str
        Name after ``data_``; may be empty.
    columns : dict of str to pyarrow.Array
        Values by label, the label without its leading underscore; all of one length.
    is_loop : bool
        False for a block of single label–value pairs.
    version : str or None
        Number of the ``# version`` comment before the block, which RELION reads.
    """

    name: str
    columns: dict[str, pa.Array] = field(default_factory=dict)
    is_loop: bool = True
    version: str | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __contains__(self, label: str) -> bool:
        return label in self.columns

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> "StarBlock":
        """Return the block with only these rows, in this order."""
        index = pa.array(rows)
        return replace(self, columns={k: v.take(index) for k, v in self.columns.items()})

    def with_columns(self, columns: dict[str, pa.Array]) -> "StarBlock":
        """Return the block with columns replaced in place or appended at the end."""
        return replace(self, columns={**self.columns, **columns})

    def without(self, labels: Iterable[str]) -> "StarBlock":
        """Return the block lacking the labels named."""
        unwanted = set(labels)
        return replace(self, columns={k: v for k, v in self.columns.items() if k not in unwanted})

    def strings(self, label: str) -> list[str]:
        """Return the values of a column, unquoted."""
        return [gemmi.cif.as_string(value) for value in self.columns[label].to_pylist()]


def read_star(path: str | os.PathLike[str]) -> list[StarBlock]:
    r"""Read every block of a STAR file, values kept as text.

    Parameters
    ----------
    path : path
        A STAR file of RELION 3.0, 3.1, 4 or 5, or of any program that keeps to the grammar.

    Returns
    -------
    list of StarBlock
        The blocks in the order of the file.

    Raises
    ------
    CryoswayError
        The file is missing or is not a STAR file.

    Examples
    --------
    >>> from pathlib import Path
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.star"
    >>> _ = file.write_text("data_\nloop_\n_rlnMicrographName #1\n001\n002\n")
    >>> read_star(file)[0].columns["rlnMicrographName"].to_pylist()
    ['001', '002']
    """
    path = Path(path)
    if not path.is_file():
        raise CryoswayError(f"{path} does not exist or is not a file; check the path")
    document, was_quoted = _parse(path)
    versions = _read_versions(path)
    blocks = [_to_block(block, versions, was_quoted=was_quoted) for block in document]
    for block in blocks:
        if len({len(column) for column in block.columns.values()}) > 1:
            message = f"{path} has several tables in its block data_{block.name}; give each its own"
            raise CryoswayError(message)
    return blocks


def _parse(path: Path) -> tuple[gemmi.cif.Document, bool]:
    """Parse with gemmi; on failure try again with values that look like keywords quoted."""
    try:
        return gemmi.cif.read(str(path)), False
    except (ValueError, RuntimeError) as error:
        first = error
    text = path.read_bytes().decode("utf-8", errors="surrogateescape")
    text = _RESERVED_FIRST.sub(r'"\1"', _RESERVED_LATER.sub(r'"\1"', text))
    try:
        return gemmi.cif.read_string(text), True
    except (ValueError, RuntimeError, UnicodeError):
        detail = str(first).removeprefix(str(path)).lstrip(":")
        message = f"{path} is not a readable STAR file (at {detail}); was it cut short or edited?"
        raise CryoswayError(message) from None


def _read_versions(path: Path) -> dict[str, str]:
    """Find the number of the version comment before each block."""
    content = path.read_bytes()
    versions: dict[str, str] = {}
    place = content.find(_VERSION_MARK)
    while place >= 0:
        if match := _VERSION_COMMENT.match(content, place):
            versions[match.group(2).decode()] = match.group(1).decode()
        place = content.find(_VERSION_MARK, place + 1)
    return versions


def _to_block(block: gemmi.cif.Block, versions: dict[str, str], *, was_quoted: bool) -> StarBlock:
    name = block.name.strip()
    columns: dict[str, pa.Array] = {}
    is_loop = False
    items: Any = block
    for item in items:
        if item.loop is not None:
            is_loop = True
            for tag in item.loop.tags:
                values = list(block.find_loop(tag))
                columns[tag.removeprefix("_")] = _to_column(values, was_quoted=was_quoted)
        elif item.pair is not None:
            tag, value = item.pair
            columns[tag.removeprefix("_")] = _to_column([value], was_quoted=was_quoted)
    return StarBlock(name, columns, is_loop, versions.get(name))


def _to_column(texts: list[str], *, was_quoted: bool) -> pa.Array:
    if was_quoted:
        texts = [_QUOTED_RESERVED.sub(r"\1", text) for text in texts]
    return pa.array(texts, pa.string())


def read_numbers(block: StarBlock, label: str, path: str | os.PathLike[str]) -> FloatArray:
    """Read a column as numbers.

    Returns
    -------
    numpy.ndarray
        Shape (N,), float64. ``nan`` stays NaN: what it means is for the caller.

    Raises
    ------
    CryoswayError
        A value is not a number; the message names its row.
    """
    column = block.columns[label]
    try:
        return np.asarray(pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:
        return _read_numbers_slowly(column.to_pylist(), label, Path(path))


def _read_numbers_slowly(texts: Sequence[str], label: str, path: Path) -> FloatArray:
    values = np.empty(len(texts))
    for row, text in enumerate(texts):
        try:
            values[row] = float(gemmi.cif.as_string(text))
        except ValueError:
            message = f"{path.name} row {row + 1}: {label} is {text!r}, not a number; correct it"
            raise CryoswayError(message) from None
    return values


def to_text_column(values: npt.ArrayLike, decimals: int | None = None) -> pa.Array:
    """Format values as a STAR column.

    Parameters
    ----------
    values : array_like
        Shape (N,): numbers, or strings, which are quoted where the grammar needs it.
    decimals : int, optional
        Digits after the point; None writes integers and strings as they are.
    """
    array = np.asarray(values)
    if decimals is not None:
        return pa.array([f"{value:.{decimals}f}" for value in array.tolist()], pa.string())
    if array.dtype.kind in "iub":
        return pa.array([str(int(value)) for value in array.tolist()], pa.string())
    return pa.array([_quote(str(value)) for value in array.tolist()], pa.string())


def _quote(text: str) -> str:
    if not text or re.search(r"\s|^[_#$'\"]|^(data_|loop_|save_|stop_|global_)", text):
        return gemmi.cif.quote(text)
    return text


def write_star(path: str | os.PathLike[str], blocks: Sequence[StarBlock]) -> None:
    """Write blocks to a STAR file that RELION opens, whole or not at all.

    Parameters
    ----------
    path : path
        The file to write; an existing one is replaced when the new one is complete.
    blocks : sequence of StarBlock
        Written in order, columns in order, values as they are.
    """
    with replace_file(Path(path)) as partial, partial.open("wb") as file:
        for block in blocks:
            file.writelines(_format_block(block))


def _format_block(block: StarBlock) -> Iterator[bytes | memoryview]:
    if block.version is not None:
        yield f"\n# version {block.version}\n".encode()
    yield f"\ndata_{block.name}\n\n".encode()
    if not block.is_loop:
        for label, column in block.columns.items():
            yield f"_{label} {_lead_in(column[0].as_py())}\n".encode()
        yield b"\n"
        return
    labels = "".join(f"_{label} #{i}\n" for i, label in enumerate(block.columns, start=1))
    yield f"loop_\n{labels}".encode()
    yield from _format_rows(list(block.columns.values()))
    yield b"\n"


def _lead_in(value: str) -> str:
    return f"\n{value}" if value.startswith(";") and "\n" in value else value


def _format_rows(columns: list[pa.Array]) -> Iterator[bytes | memoryview]:
    """Join columns to lines inside arrow and hand out its buffers."""
    if any(pc.any(pc.match_substring(column, "\n")).as_py() for column in columns):
        rows = zip(*(column.to_pylist() for column in columns), strict=True)
        yield "".join(" ".join(map(_lead_in, row)) + "\n" for row in rows).encode()
        return
    line_end = pa.scalar("\n", pa.string())
    for start in range(0, len(columns[0]) if columns else 0, _ROWS_PER_WRITE):
        part = [column.slice(start, _ROWS_PER_WRITE) for column in columns]
        lines = pc.binary_join_element_wise(*part, pa.scalar(" ", pa.string()))
        lines = pc.binary_join_element_wise(lines, pa.scalar("", pa.string()), line_end)
        yield _text_of(lines)


def _text_of(lines: pa.StringArray) -> memoryview:
    offsets = np.frombuffer(lines.buffers()[1], np.int32)[
        lines.offset : lines.offset + len(lines) + 1
    ]
    return memoryview(lines.buffers()[2])[offsets[0] : offsets[-1]]
