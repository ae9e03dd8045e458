"""One writer at a time: an advisory lock on a file inside the folder.

The lock belongs to the process and ends with it, however it ends, so there are no stale locks.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import threading
import warnings
import weakref
from pathlib import Path
from types import TracebackType
from typing import Self, final

from cryosway._errors import CryoswayError, CryoswayWarning

LOCK_NAME = ".lock"
_BUSY = {errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN}
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@final
class FolderLock:
    """An exclusive lock on a folder, held inside a ``with`` block.

    Parameters
    ----------
    folder : Path
        The folder, which exists.
    reentrant : bool
        Whether the thread that holds the folder's lock may enter again, as a step that a larger
        job calls in its own folder.
    """

    def __init__(self, folder: Path, *, reentrant: bool = True) -> None:
        self._path = folder.resolve() / LOCK_NAME
        self._folder = folder
        self._reentrant = reentrant
        self._thread = threading.get_ident()
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        if self._reentrant and self._is_ours():
            return self
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._refuse(error)
        holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, holder.encode(), 0)
        _held.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the lock; a forked child closes its copy without unlocking the parent's."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None
        _held.discard(self)

    def _is_ours(self) -> bool:
        """Tell whether this thread holds the lock already."""
        here = (self._path, threading.get_ident())
        return any((lock._path, lock._thread) == here for lock in _held)

    def _refuse(self, error: OSError) -> None:
        """Raise when another process holds the lock; warn when the disk knows no locks."""
        if error.errno in _UNSUPPORTED:
            message = f"{self._folder} is on a file system without locks: start one job only"
            warnings.warn(message, CryoswayWarning, stacklevel=4)
            return
        self.close()
        if error.errno not in _BUSY:
            raise error
        message = (
            f"{self._folder} is being written by {describe_holder(self._path.parent)}; "
            "wait for it, stop it, or choose another --out"
        )
        raise CryoswayError(message) from None


_held: weakref.WeakSet[FolderLock] = weakref.WeakSet()


def _forget_in_child() -> None:
    for lock in list(_held):
        lock.close()


os.register_at_fork(after_in_child=_forget_in_child)


def describe_holder(folder: Path) -> str:
    """Name the process that last took the lock of a folder, as "process 12 on host x"."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        holder = json.loads((folder / LOCK_NAME).read_text())
        return f"process {holder['pid']} on {holder['host']}"
    return "another process"


def is_locked(folder: str | Path) -> bool:
    """Tell whether some process is writing into a folder now.

    Parameters
    ----------
    folder : str or Path
        A job folder.

    Returns
    -------
    bool
        False also where the folder cannot be asked.
    """
    try:
        descriptor = os.open(Path(folder) / LOCK_NAME, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _BUSY
    finally:
        os.close(descriptor)
    return False
