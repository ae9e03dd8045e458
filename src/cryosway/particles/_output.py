"""Output files that are whole or not there, with failures of the disk in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryosway._errors import CryoswayError
from cryosway.engine import explain_os_errors, write_atomically


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path whose file takes the place of `path` when all went well.

    Raises
    ------
    CryoswayError
        The folder does not exist or cannot be written, or the disk is full.
    """
    folder = path.parent
    if not folder.is_dir():
        raise CryoswayError(
            f"cannot write {path}: the folder {folder} does not exist; make it first"
        )
    with explain_os_errors(folder), write_atomically(path) as partial:
        yield partial
