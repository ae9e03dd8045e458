"""Files with representations of sequences: safetensors or Parquet, written and read."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.engine import read_table, write_atomically
from cryosway.jobs import Job, open_job
from cryosway.protein import SequenceRecord
from cryosway.protein.language import Embeddings

Numbers = npt.NDArray[np.floating]


def write_shard(
    path: Path,
    records: Sequence[SequenceRecord],
    found: Mapping[int, Embeddings],
    *,
    per: str,
    dtype: str,
) -> None:
    """Write representations of some sequences; the file is whole or not there.

    A safetensors file has for each layer n ``mean.n``, shape (N, width), and ``residues.n``,
    shape (R, width): the residues of all sequences, of which number i has the rows from
    ``starts[i]`` to ``starts[i + 1]``; the names are JSON in the metadata. A Parquet file has a
    row per sequence, with columns ``name``, ``length``, and those of the tensors as lists.

    Parameters
    ----------
    path : Path
        Its suffix is the format.
    records : sequence of SequenceRecord
        N of them.
    found : Mapping[int, Embeddings]
        By layer.
    per : {"residue", "sequence", "both"}
        What to write.
    dtype : {"float32", "float16"}
        Of the numbers.
    """
    means = {f"mean.{n}": x.means.astype(dtype) for n, x in found.items() if per != "residue"}
    residues = {
        f"residues.{n}": [part.astype(dtype) for part in x.residues]
        for n, x in found.items()
        if per != "sequence"
    }
    write = _write_parquet if path.suffix == ".parquet" else _write_safetensors
    with write_atomically(path) as temporary:
        write(temporary, records, means, residues)


def read_embeddings(job: Job | str | Path, layer: int | None = None) -> "EmbeddingReader":
    """Open the representations that `embed` has written.

    Parameters
    ----------
    job : Job or path
        Of ``embed``.
    layer : int, optional
        Which; by default the last one written.

    Returns
    -------
    EmbeddingReader
        A mapping from names to arrays, shape (L, width).

    Raises
    ------
    CryoswayError
        When the folder has none.
    """
    return EmbeddingReader(open_job(job).path, layer)


class EmbeddingReader(Mapping[str, Numbers]):
    """Representations by name, read when asked; see `read_embeddings`.

    Parameters
    ----------
    folder : Path
        Of the job.
    layer : int, optional
        Which.
    """

    def __init__(self, folder: Path, layer: int | None) -> None:
        self._folder = folder
        table = read_table(folder / "index.parquet")
        if table.empty:
            message = f"{folder} holds no sequences; open another part of the result"
            raise CryoswayError(message)
        pairs = zip(table["file"], table["row"], strict=True)
        self._places = dict(zip(table["name"], pairs, strict=True))
        self._columns = _read_columns(folder / table["file"].iloc[0])
        layers = sorted({int(name.split(".")[1]) for name in self._columns if "." in name})
        self.layer = layers[-1] if layer is None else layer
        if self.layer not in layers:
            message = f"{folder} has no layer {layer}, but {', '.join(map(str, layers))}"
            raise CryoswayError(message)

    def __getitem__(self, name: str) -> Numbers:
        return self._read("residues", name)

    def mean(self, name: str) -> Numbers:
        """Give the mean over the residues of a sequence, shape (width,)."""
        if f"mean.{self.layer}" in self._columns:
            return self._read("mean", name)
        return np.asarray(self[name].mean(0))

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def _read(self, what: str, name: str) -> Numbers:
        file, row = self._places[name]
        column = f"{what}.{self.layer}"
        if column not in self._columns:
            message = f"{self._folder} holds no {column}; run embed with --per both"
            raise CryoswayError(message)
        path = self._folder / file
        if path.suffix == ".parquet":
            return _read_parquet(path, column, int(row))
        return _read_safetensors(path, column, int(row))


def read_names(path: Path) -> list[str]:
    """Read the names of the sequences in a file that `write_shard` has written."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return list(pq.read_table(path, columns=["name"])["name"].to_pylist())
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return list(json.loads(file.metadata()["names"]))


def _read_columns(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return list(pq.read_schema(path).names)
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return list(file.keys())


def _write_safetensors(
    path: Path,
    records: Sequence[SequenceRecord],
    means: Mapping[str, Numbers],
    residues: Mapping[str, list[Numbers]],
) -> None:
    from safetensors.numpy import save_file

    tensors = {name: np.ascontiguousarray(value) for name, value in means.items()}
    tensors |= {name: np.concatenate(parts) for name, parts in residues.items()}
    tensors["starts"] = np.cumsum([0, *map(len, records)])
    save_file(tensors, path, metadata={"names": json.dumps([record.name for record in records])})


def _write_parquet(
    path: Path,
    records: Sequence[SequenceRecord],
    means: Mapping[str, Numbers],
    residues: Mapping[str, list[Numbers]],
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {
        "name": [record.name for record in records],
        "length": [len(record) for record in records],
    }
    columns |= {name: _list_column(list(rows)) for name, rows in means.items()}
    columns |= {name: _list_column(parts) for name, parts in residues.items()}
    pq.write_table(pa.table(columns), path)


def _list_column(rows: list[Numbers]) -> Any:
    """Make a column of lists; a residue's numbers follow the residue's before it."""
    import pyarrow as pa

    ends = np.cumsum([0, *(row.size for row in rows)])
    values = np.concatenate([row.reshape(-1) for row in rows])
    return pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), pa.array(values))


def _read_safetensors(path: Path, column: str, row: int) -> Numbers:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        if column.startswith("mean"):
            return np.asarray(file.get_slice(column)[row])
        first, end = file.get_tensor("starts")[row : row + 2].tolist()
        return np.asarray(file.get_slice(column)[first:end])


def _read_parquet(path: Path, column: str, row: int) -> Numbers:
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["length", column]).slice(row, 1)
    values = np.asarray(table[column].chunk(0).flatten())
    if column.startswith("mean"):
        return values
    return values.reshape(int(table["length"][0].as_py()), -1)
