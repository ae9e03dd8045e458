"""``cryosway doctor``: whether this machine is ready, how fast it is, and what could be added."""

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryosway._errors import CryoswayError
from cryosway.engine import available_memory_bytes, collect_versions, count_cpus, explain_os_errors

LEAST_FREE_BYTES = 1_000_000_000
LEAST_MEMORY_BYTES = 2_000_000_000
_EXTRAS = {
    "umap-learn": ("embed", "UMAP embeddings in cryosway landscape"),
    "biotite": ("trajectory", "DCD trajectories in cryosway simulate"),
    "transformers": ("protein", "language models and folding in cryosway protein"),
    "finufft": ("nufft", "faster exact projections in cryosway simulate"),
}


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    Attributes
    ----------
    topic : str
        The first column.
    text : str
        What was found.
    remedy : str
        What to do about it, if anything.
    broken : bool
        Whether cryosway cannot work so.
    """

    topic: str
    text: str
    remedy: str = ""
    broken: bool = False


def doctor(folder: Path = Path(), *, size_mb: int = 256) -> int:
    """Check versions, devices, memory and disk speed, and say what is missing.

    Parameters
    ----------
    folder : Path
        Where the disk is measured; results will be written there.
    size_mb : int
        Size of the test file, MB; it is deleted afterwards.

    Returns
    -------
    int
        0 when cryosway can work here, else 1.
    """
    broken = False
    for finding in examine(folder, size_mb):
        broken |= finding.broken
        mark = "!!" if finding.broken else "  "
        print(f"{mark} {finding.topic:<10} {finding.text}")
        if finding.remedy:
            print(f"   {'':<10} → {finding.remedy}")
    print("cryosway cannot work here yet: see the lines marked !!" if broken else "all is well")
    return int(broken)


def examine(folder: Path, size_mb: int) -> Iterator[Finding]:
    """Examine everything, one finding at a time."""
    versions = ", ".join(f"{name} {version}" for name, version in collect_versions().items())
    yield Finding("versions", versions)
    yield from examine_requirements()
    yield Finding("CPU", f"{_name_cpu()}, {count_cpus()} threads usable of {os.cpu_count()}")
    yield examine_memory()
    yield from examine_gpus()
    yield from examine_disk(folder, size_mb)
    yield from examine_extras()


def examine_requirements() -> Iterator[Finding]:
    """Find required packages that are not installed."""
    try:
        requirements = importlib.metadata.requires("cryosway") or []
    except importlib.metadata.PackageNotFoundError:
        remedy = f"{sys.executable} -m pip install -e . (in the folder of pyproject.toml)"
        yield Finding("packages", "cryosway itself is not installed", remedy, broken=True)
        return
    needed = [re.split(r"[^\w.-]", line)[0] for line in requirements if "extra ==" not in line]
    missing = [name for name in needed if not _is_installed(name)]
    for name in missing:
        remedy = f"{sys.executable} -m pip install {name}"
        yield Finding("packages", f"{name} is required and missing", remedy, broken=True)
    if not missing:
        yield Finding("packages", f"all {len(needed)} required packages are installed")


def examine_extras() -> Iterator[Finding]:
    """Find optional packages that are not installed, with the command that gets them."""
    for package, (extra, purpose) in _EXTRAS.items():
        if _is_installed(package):
            yield Finding("optional", f"{package} is installed ({purpose})")
        else:
            remedy = f"{sys.executable} -m pip install 'cryosway[{extra}]'"
            yield Finding("optional", f"{package} is missing ({purpose})", remedy)


def examine_memory() -> Finding:
    """Compare the memory that is free with what a small data set needs."""
    free = available_memory_bytes()
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    text = f"{free / 1e9:.1f} GB free of {total / 1e9:.1f} GB"
    if free < LEAST_MEMORY_BYTES:
        return Finding("memory", text, "close other programs: 2 GB are needed at least")
    return Finding("memory", text)


def examine_gpus() -> Iterator[Finding]:
    """List the CUDA devices that torch sees."""
    if not _is_installed("torch"):
        return
    import torch

    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        yield Finding("GPU", f"cuda:{index} {found.name}, {found.total_memory / 1e9:.0f} GB")
    if not torch.cuda.device_count():
        build = "without CUDA" if torch.version.cuda is None else f"for CUDA {torch.version.cuda}"
        yield Finding("GPU", f"none (torch is built {build}); everything works on the CPU")


def examine_disk(folder: Path, size_mb: int) -> Iterator[Finding]:
    """Measure how fast a folder's disk writes and reads one large file."""
    if not folder.is_dir():
        yield Finding("disk", f"{folder} is not a folder", "give an existing one", broken=True)
        return
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free in {folder.resolve()}"
    scarce = free < LEAST_FREE_BYTES
    yield Finding("disk", text, "make room: 1 GB is needed at least" if scarce else "", scarce)
    try:
        with explain_os_errors(folder):
            write, read = measure_disk(folder, min(size_mb, free // 4_000_000))
    except CryoswayError as error:
        yield Finding("disk", str(error), broken=True)
    else:
        yield Finding("disk", f"writes {write:.0f} MB/s, reads {read:.0f} MB/s, one large file")


def measure_disk(folder: Path, size_mb: int) -> tuple[float, float]:
    """Write and read a file one MB at a time, past the cache where the system lets us.

    Returns
    -------
    tuple of float
        MB/s written (with fsync) and read.
    """
    path = folder / f".cryosway-doctor-{os.getpid()}"
    block = os.urandom(1_000_000)
    try:
        began = time.perf_counter()
        with path.open("wb", buffering=0) as file:
            for _ in range(max(size_mb, 1)):
                file.write(block)
            os.fsync(file.fileno())
        written = time.perf_counter()
        with path.open("rb", buffering=0) as file:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while file.read(1_000_000):
                pass
        read = time.perf_counter()
    finally:
        path.unlink(missing_ok=True)
    return size_mb / (written - began), size_mb / (read - written)


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _name_cpu() -> str:
    with contextlib.suppress(OSError, IndexError):
        text = Path("/proc/cpuinfo").read_text()
        return text.split("model name")[1].split(":", 1)[1].split("\n", 1)[0].strip()
    return platform.processor() or platform.machine()
