"""JSON and Parquet, written atomically and read with errors that name the file."""

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryosway._errors import CryoswayError
from cryosway.engine._atomic import write_atomically

if TYPE_CHECKING:
    import pandas as pd


def to_plain(value: Any) -> Any:
    """Reduce a value to what JSON knows; numbers that are not finite become None.

    Paths become strings; NumPy scalars and arrays, PyTorch tensors, dataclasses and pydantic
    models become numbers, lists and dicts.

    Examples
    --------
    >>> to_plain({"path": Path("a.mrc"), "value": float("nan"), "pair": (1, 2)})
    {'path': 'a.mrc', 'value': None, 'pair': [1, 2]}
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(to_plain(item) for item in value)
    return _object_to_plain(value)


def _object_to_plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):  # pydantic
        return to_plain(value.model_dump(mode="json"))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_plain(dataclasses.asdict(value))
    if hasattr(value, "tolist"):  # NumPy and PyTorch
        return to_plain(value.tolist())
    message = f"a {type(value).__name__} cannot be written as JSON"
    raise TypeError(message)


def write_json(path: str | Path, value: Any) -> None:
    """Write strict JSON (no NaN), atomically; see `to_plain` for what is converted.

    Parameters
    ----------
    path : str or Path
        The file to make or to replace.
    value : Any
        What to write.
    """
    text = json.dumps(to_plain(value), indent=1, ensure_ascii=False, allow_nan=False)
    with write_atomically(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    Any
        Its value.

    Raises
    ------
    CryoswayError
        When the file is missing, or is not whole.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        message = f"{path} does not exist; is the path right?"
        raise CryoswayError(message) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        message = (
            f"{path} is damaged or cut short ({error}); restore it from a copy, or move the "
            "folder away and run the command again"
        )
        raise CryoswayError(message) from None


def write_table(path: str | Path, table: "pd.DataFrame") -> None:
    """Write a data frame as Parquet, atomically and without its index.

    Parameters
    ----------
    path : str or Path
        The file to make or to replace.
    table : DataFrame
        What to write.
    """
    with write_atomically(path) as temporary:
        table.to_parquet(temporary, index=False)


def read_table(path: str | Path) -> "pd.DataFrame":
    """Read a Parquet file as a data frame.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    DataFrame
        Its rows.

    Raises
    ------
    CryoswayError
        When the file is missing, or is not Parquet.
    """
    import pandas as pd
    import pyarrow as pa

    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        message = f"{path} does not exist; is the path right, and is the job finished?"
        raise CryoswayError(message) from None
    except pa.ArrowInvalid as error:
        message = f"{path} is not a whole Parquet file ({error}); run its job again"
        raise CryoswayError(message) from None


def hash_file(path: Path) -> str:
    """Give the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
