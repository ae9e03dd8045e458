"""Files of ``torch.save``, read by an unpickler that can make arrays and containers only.

PyTorch's own restricted loader ran code from crafted files up to version 2.5 (CVE-2025-32434);
this one has nothing to run: it knows how to view numbers, and refuses every other name.
"""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, final

import numpy as np
import numpy.typing as npt

from cryosway.particles._pickles import ArrayUnpickler, RefusedError, explain_pickle_errors

Numbers = npt.NDArray[Any]

_EXPECTED = "weights file of PyTorch"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001
_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


def load_torch_archive(path: str | os.PathLike[str]) -> Any:
    """Read what ``torch.save`` wrote, tensors becoming numpy arrays.

    Parameters
    ----------
    path : path
        A zip archive of PyTorch 1.6 or later, or a file of an earlier version.

    Returns
    -------
    Any
        Dicts, lists, tuples, numbers and texts, with a numpy array for each tensor.

    Raises
    ------
    CryoswayError
        The file is missing, damaged, or asks for anything but tensors and containers, as a
        malicious one would.
    """
    path = Path(path)
    with explain_pickle_errors(path, _EXPECTED), path.open("rb") as file:
        if file.read(4) == b"PK\x03\x04":
            return _read_zip(path)
        file.seek(0)
        return _read_legacy(file, path.stat().st_size)


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            message = f"the archive holds {len(names)} files data.pkl"
            raise RefusedError(message)
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            message = "the archive is compressed"
            raise RefusedError(message)
        root = names[0].removesuffix("data.pkl")
        has_order = f"{root}byteorder" in archive.namelist()
        big = has_order and archive.read(f"{root}byteorder") == b"big"

        def read(key: str, dtype: str, count: int) -> Numbers:
            numbers = np.dtype(dtype).newbyteorder(">" if big else "<")
            return np.frombuffer(archive.read(f"{root}data/{key}"), numbers, count)

        with archive.open(names[0]) as file:
            return _TensorUnpickler(file, read).load()


def _read_legacy(file: BinaryIO, size: int) -> Any:
    """Read a file of PyTorch before 1.6: three pickles of header, the object, then the numbers."""
    storages: dict[str, Numbers] = {}

    def reserve(key: str, dtype: str, count: int) -> Numbers:
        numbers = np.dtype(dtype).newbyteorder("<")
        if key not in storages:
            if not 0 <= count * numbers.itemsize <= size:
                message = f"storage {key} claims {count} numbers, more than the file holds"
                raise RefusedError(message)
            storages[key] = np.zeros(count, numbers)
        return storages[key]

    magic, version, _ = (ArrayUnpickler(file).load() for _ in range(3))
    if (magic, version) != (_LEGACY_MAGIC, _LEGACY_VERSION):
        message = "it does not start as such files do"
        raise RefusedError(message)
    content = _TensorUnpickler(file, reserve).load()
    for key in ArrayUnpickler(file).load():
        storage = storages[key]
        count = int.from_bytes(file.read(8), "little")
        stored = file.read(count * storage.itemsize)
        storage[:] = np.frombuffer(stored, storage.dtype)
    return content


@final
class _StorageKind:
    """The name of a PyTorch storage type, standing for its kind of number."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def __setstate__(self, state: Any) -> None:
        message = "it changes a type of number"
        raise RefusedError(message)


@final
class _Table(dict[Any, Any]):
    """An ordered dict without attributes: what a pickle wants to attach is dropped."""

    def __setstate__(self, state: Any) -> None:
        pass


class _TensorUnpickler(ArrayUnpickler):
    """An unpickler that also knows PyTorch's tensors, as views of storages read by `read`."""

    def __init__(self, file: Any, read: Any) -> None:
        super().__init__(file)
        self._read = read

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _StorageKind(_STORAGES[name])
        known: Mapping[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): _Table,
            ("torch._utils", "_rebuild_tensor"): lambda *parts: _view(*parts[:4]),
            ("torch._utils", "_rebuild_tensor_v2"): lambda *parts: _view(*parts[:4]),
            ("torch._utils", "_rebuild_parameter"): lambda *parts: parts[0],
            ("torch", "Size"): lambda *parts: tuple(*parts),
        }
        return known.get((module, name)) or super().find_class(module, name)

    def persistent_load(self, reference: Any) -> Numbers:
        """Find the storage that the pickle refers to."""
        kind, storage, key, _, count = reference[:5]
        if kind != "storage" or not isinstance(storage, _StorageKind) or not str(key).isdigit():
            message = f"it refers to {reference[0]!r}"
            raise RefusedError(message)
        numbers: Numbers = self._read(str(key), storage.dtype, int(count))
        return numbers


def _view(storage: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Numbers:
    """View a storage as a tensor, never outside it."""
    if not isinstance(storage, np.ndarray) or min((offset, *shape, *strides), default=0) < 0:
        message = "it describes a tensor that cannot be"
        raise RefusedError(message)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if 0 not in shape and last >= len(storage):
        message = "it describes a tensor larger than its storage"
        raise RefusedError(message)
    if 0 in shape:
        return np.zeros(shape, storage.dtype)
    steps = [step * storage.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps)
