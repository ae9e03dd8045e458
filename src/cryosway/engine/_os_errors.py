"""Failures of the disk in one sentence: full, read-only, forbidden."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryosway._errors import CryoswayError

_FULL_MESSAGES = ("No space left on device", "os error 28", "Disk quota exceeded")
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM}


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an exception of Python, NumPy, Arrow or safetensors means a full disk.

    Examples
    --------
    >>> is_disk_full(OSError(28, "No space left on device"))
    True
    >>> is_disk_full(OSError(2, "No such file or directory"))
    False
    """
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    text = str(error)
    partial_write = isinstance(error, OSError) and "requested and" in text and "written" in text
    return partial_write or any(message in text for message in _FULL_MESSAGES)


@contextmanager
def explain_os_errors(folder: str | Path) -> Iterator[None]:
    """Turn a full disk, a read-only or a forbidden folder into a `CryoswayError`.

    Parameters
    ----------
    folder : str or Path
        The folder that is being written, named in the message.
    """
    try:
        yield
    except CryoswayError:
        raise
    except Exception as error:
        sentence = _describe(error, Path(folder))
        if sentence is None:
            raise
        raise CryoswayError(sentence) from error


def _describe(error: Exception, folder: Path) -> str | None:
    if is_disk_full(error):
        return (
            f"the disk that holds {folder} is full ({_free_space(folder)} free); make room, "
            "then give the same command again: it resumes where it stopped"
        )
    if not isinstance(error, OSError):
        return None
    place = error.filename or folder
    if error.errno == errno.EROFS:
        return f"cannot write {place}: the file system is read-only; choose another --out"
    if error.errno in _FORBIDDEN:
        return (
            f"no permission for {place}: change its permissions, or choose another --out "
            "if it is the output"
        )
    return None


def _free_space(folder: Path) -> str:
    """Free space on the disk of a folder that may not exist yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return f"{shutil.disk_usage(folder).free / 1e6:.0f} MB"
    except OSError:
        return "0 MB"
