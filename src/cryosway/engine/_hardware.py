"""Devices, threads and memory of this machine."""

import contextlib
import ctypes
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cryosway._errors import CryoswayError

if TYPE_CHECKING:
    import torch

_CGROUP = Path("/sys/fs/cgroup")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt


def select_device(name: str = "auto") -> "torch.device":
    """Choose where to compute.

    Parameters
    ----------
    name : str, optional
        "auto" (the first GPU, else the CPU), "cpu", "cuda" or "cuda:1".

    Returns
    -------
    torch.device
        The device, which exists.

    Raises
    ------
    CryoswayError
        When there is no such device.

    Examples
    --------
    >>> select_device("cpu")
    device(type='cpu')
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        message = f"there is no device called {name!r}; use auto, cpu, cuda or cuda:1"
        raise CryoswayError(message) from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        message = (
            f"device {name!r} was asked for, but torch {torch.__version__} sees "
            f"{torch.cuda.device_count()} CUDA GPUs; use --device cpu, or see cryosway doctor"
        )
        raise CryoswayError(message)
    return device


def set_threads(n: int | None = None) -> int:
    """Set the number of CPU threads of PyTorch, BLAS and Numba.

    Parameters
    ----------
    n : int, optional
        How many; by default as many as this process may use.

    Returns
    -------
    int
        The number that was set.

    Raises
    ------
    CryoswayError
        When ``n`` is less than 1.
    """
    import torch
    from threadpoolctl import threadpool_limits

    if n is not None and n < 1:
        message = f"the number of threads must be 1 or more, not {n}; leave --threads out for all"
        raise CryoswayError(message)
    n = n or count_cpus()
    threadpool_limits(n)
    if "numba" in sys.modules:
        import numba

        most: int = vars(numba.config)["NUMBA_NUM_THREADS"]
        numba.set_num_threads(min(n, most))
    else:
        os.environ["NUMBA_NUM_THREADS"] = str(n)
    torch.set_num_threads(n)  # last: the others' pools are torch's too
    return n


def keep_freed_memory() -> None:
    """Let the C library keep what this process frees, up to 1 GB, for its next use.

    A training step takes and frees the same arrays again and again. By default glibc hands them
    back to the system, and every page that comes anew costs a fault, together up to a tenth of the
    time on a CPU. Other C libraries are left as they are.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(_M_TRIM_THRESHOLD, 1 << 30)
        set_option(_M_MMAP_THRESHOLD, 1 << 26)


def count_cpus() -> int:
    """Count the CPUs that this process may use (affinity and container limit).

    Returns
    -------
    int
        At least 1.
    """
    if hasattr(os, "sched_getaffinity"):
        usable = len(os.sched_getaffinity(0))
    else:
        usable = os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        if quota != "max":
            usable = min(usable, max(1, int(quota) // int(period)))
    return usable


def available_memory_bytes() -> int:
    """Give the memory that this process could still take, in bytes.

    Returns
    -------
    int
        The least of what the machine has free and what the container's limit leaves.
    """
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path("/proc/meminfo").read_text()
        free = 1024 * int(text.split("MemAvailable:")[1].split()[0])
    with contextlib.suppress(OSError, ValueError):
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        free = min(free, max(0, limit - used))
    return free


def peak_memory_bytes() -> int:
    """Give the largest memory (resident set) that this process has had so far, in bytes.

    Returns
    -------
    int
        From the kernel's account of this program; a parent's share is not counted.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path("/proc/self/status").read_text()
        return 1024 * int(text.split("VmHWM:")[1].split()[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def peak_device_memory_bytes() -> int | None:
    """Give the largest GPU memory that PyTorch has allocated so far, in bytes.

    Returns
    -------
    int or None
        None where no GPU has been used.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return int(torch.cuda.max_memory_allocated())
