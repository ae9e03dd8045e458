"""Files that are either the old one or the new one, never half of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = ".tmp-"


@contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """Write to a temporary neighbour that takes the place of ``path`` when all went well.

    The temporary file has the same suffixes as ``path``, is flushed to the disk before the
    rename, and is removed when the block raises.

    Parameters
    ----------
    path : str or Path
        The file to make or to replace.

    Yields
    ------
    Path
        Where to write.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with write_atomically(target) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    target = Path(path)
    temporary = target.with_name(f"{_PREFIX}{os.getpid()}-{target.name}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)
        _flush_to_disk(temporary)
        temporary.replace(target)
        _flush_to_disk(target.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def clear_leftovers(folder: Path) -> None:
    """Remove temporary files that a killed process left; call it only under the folder's lock."""
    for leftover in folder.rglob(f"{_PREFIX}*"):
        leftover.unlink(missing_ok=True)


def _flush_to_disk(path: Path) -> None:
    """Fsync a file or folder; some file systems decline to do so for folders."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(descriptor)
