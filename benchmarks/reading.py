"""Reading and preparing: what limits them?

STAR: 100,000 rows read by `cryosway.read_particles`, beside what reads the same bytes with fewer
promises: the bare file, pandas' C parser (no STAR grammar), and the package starfile. Images: from
a file that is not in memory, through `Particles.images` and as bare bytes. Preparing: images per
second of `cryosway prepare`, with shifts, normalisation and window, beside the bare least: read
the stack, one Fourier transform forth at the old size and one back at the new, write float16. On
one thread it is also timed where the time goes, inside the running command; and an image of 16
pixels, whose cost is Python's and not that of pixels.

    python benchmarks/reading.py --images 3000
"""

import argparse
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import wraps
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.fft
from _measure import make_parser, method_command, write_result

import cryosway as cs
from cryosway.engine import count_cpus, run_measured
from cryosway.particles import (
    GroupGeometry,
    PreparationSteps,
    StackWriter,
    StarBlock,
    prepare_images,
    write_star,
)

PIXEL_SIZE = 1.5  # Å
SIZES = ((256, 128), (128, 64))
BATCH = 32  # images that are transformed at once
TINY = "everything, of an image of 16 px"
LIMITING = ("reading", "FFTs forth", "FFTs back")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="of the STAR file")
    parser.add_argument("--images", type=int, default=3000, help="prepared at 256 px; four times "
                        "as many at 128 px")  # fmt: skip
    parser.add_argument("--repeats", type=int, default=3, help="the best counts")
    return parser.parse_args()


def time_best(action: Callable[[], object], repeats: int) -> float:
    """Wall seconds of the fastest of several runs."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


# ---------------------------------------------------------------------------- files


def write_metadata(path: Path, count: int, box: int, seed: int) -> None:
    """Write a RELION 3.1 STAR file with random poses, shifts and defocus."""
    rng = np.random.default_rng(seed)
    limits = {
        "rlnCoordinateX": (0, 4000),
        "rlnCoordinateY": (0, 4000),
        "rlnAngleRot": (-180, 180),
        "rlnAngleTilt": (0, 180),
        "rlnAnglePsi": (-180, 180),
        "rlnOriginXAngst": (-10, 10),
        "rlnOriginYAngst": (-10, 10),
        "rlnDefocusU": (8000, 25_000),
        "rlnDefocusV": (8000, 25_000),
        "rlnDefocusAngle": (-90, 90),
        "rlnPhaseShift": (0, 0),
        "rlnMaxValueProbDistribution": (0, 1),
    }
    columns = {
        name: pa.array([f"{value:.6f}" for value in rng.uniform(*limit, count)])
        for name, limit in limits.items()
    }
    columns["rlnImageName"] = pa.array([f"{i + 1:06d}@{path.stem}.mrcs" for i in range(count)])
    columns["rlnMicrographName"] = pa.array(
        [f"micrographs/{i // 100:05d}.mrc" for i in range(count)]
    )
    for name in ("rlnRandomSubset", "rlnOpticsGroup"):
        columns[name] = pa.array(["1"] * count)
    optics = {
        "rlnOpticsGroup": 1,
        "rlnVoltage": 300.0,
        "rlnSphericalAberration": 2.7,
        "rlnAmplitudeContrast": 0.1,
        "rlnImagePixelSize": PIXEL_SIZE,
        "rlnImageSize": box,
        "rlnImageDimensionality": 2,
    }
    described = {name: pa.array([str(value)]) for name, value in optics.items()}
    write_star(path, [StarBlock("optics", described), StarBlock("particles", columns)])


def write_noise(path: Path, count: int, box: int, seed: int) -> None:
    """Write a float32 stack of white noise."""
    rng = np.random.default_rng(seed)
    with StackWriter(path, box, PIXEL_SIZE, "float32", count) as stack:
        for start in range(0, count, 256):
            shape = (min(256, count - start), box, box)
            stack.write(rng.standard_normal(shape, dtype=np.float32))


def write_empty_stack(path: Path, count: int, box: int) -> None:
    """Write a stack whose images take no disk space (a sparse file)."""
    with StackWriter(path, box, PIXEL_SIZE, "float32", 1) as stack:
        stack.write(np.zeros((1, box, box), np.float32))
    with path.open("r+b") as file:
        file.seek(8)
        file.write(np.int32(count).tobytes())
        file.truncate(1024 + 4 * count * box**2)


# ---------------------------------------------------------------------------- STAR


def measure_star(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds to read one STAR file in several ways."""
    path = folder / "table.star"
    write_metadata(path, arguments.rows, 64, arguments.seed)
    write_empty_stack(path.with_suffix(".mrcs"), arguments.rows, 64)
    particles = cs.read_particles(path)
    assert len(particles) == arguments.rows
    readers: dict[str, Callable[[], object]] = {
        "bytes of the file": path.read_bytes,
        "pandas, C parser": lambda: read_with_pandas(path),
        "cryosway.read_particles": lambda: cs.read_particles(path),
        "cryosway, written back": lambda: particles.write(folder / "written.star"),
    }
    if reader := find_starfile():
        readers["starfile"] = lambda: reader(path)
    seconds = {name: time_best(action, arguments.repeats) for name, action in readers.items()}
    return {"rows": arguments.rows, "megabytes": path.stat().st_size / 1e6, "seconds": seconds}


def find_starfile() -> Callable[[Path], object] | None:
    """`starfile.read`, where that package is installed."""
    try:
        import starfile
    except ImportError:
        return None
    return starfile.read


def read_with_pandas(path: Path) -> pd.DataFrame:
    """Read the rows of the particle table as a table of numbers and text."""
    table = path.read_bytes().split(b"loop_")[-1]
    lines = table.splitlines(keepends=True)
    first = sum(line.startswith(b"_") or not line.strip() for line in lines[:40])
    return pd.read_csv(BytesIO(b"".join(lines[first:])), sep=r"\s+", header=None)


# ---------------------------------------------------------------------------- preparing


def measure_prepare(
    folder: Path, sizes: tuple[int, int], count: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Images per second of the command, of its unavoidable parts, and of its steps."""
    large, small = sizes
    star = folder / f"noise_{large}_{count}.star"
    if not star.exists():
        write_noise(star.with_suffix(".mrcs"), count, large, arguments.seed)
        write_metadata(star, count, large, arguments.seed)
    threads = arguments.threads or count_cpus()
    command, cost = time_command(star, small, count, arguments)
    stack = star.with_suffix(".mrcs")
    particles = cs.read_particles(star)
    limits = {
        "disk, reading": count / time_uncached(stack, lambda: read_bytes(stack)),
        "disk, writing": count / write_synced(folder / "written.bin", count * small**2 * 2),
        "bare FFTs": transform_rate(sizes, threads, arguments.repeats),
    }
    steps = time_steps(star, small, arguments.cache / "jobs" / "prepare_steps", arguments.repeats)
    return {
        "from": large,
        "to": small,
        "images": count,
        "threads": threads,
        "images_per_second": command,
        "read_per_second": count / time_uncached(stack, lambda: read_images(particles)),
        "cost": asdict(cost),
        "limits": limits,
        "steps_us": steps,
        "share_of_limits": sum(steps[name] for name in LIMITING) / steps["everything"],
    }


def time_command(
    star: Path, box: int, count: int, arguments: argparse.Namespace
) -> tuple[float, Any]:
    """Best images per second of `cryosway prepare` while it streams, and the cost of that run."""
    out = arguments.cache / "jobs" / f"prepare_{box}"
    options = {"box": box, "contrast": "white"}
    runs = []
    for _ in range(arguments.repeats):
        forget(star.with_suffix(".mrcs"))
        command = method_command("prepare", star, out, options, arguments.threads)
        cost = run_measured(command, out.with_suffix(".log"), arguments.threads)
        runs.append((count / cs.open_job(out).info["timings"]["images"], cost))
    shutil.rmtree(out)
    return max(runs, key=lambda run: run[0])


def transform_rate(sizes: tuple[int, int], threads: int, repeats: int) -> float:
    """Images per second of nothing but a transform forth at one size and one back at another."""
    large, small = sizes
    images = np.random.default_rng(0).standard_normal((BATCH, large, large), dtype=np.float32)
    half = np.ones((BATCH, small, small // 2 + 1), np.complex64)
    batches = 8 * threads

    def transform(_: int) -> None:
        scipy.fft.rfft2(images)
        scipy.fft.irfft2(half)

    with ThreadPoolExecutor(threads) as pool:
        seconds = time_best(lambda: list(pool.map(transform, range(batches))), repeats)
    return batches * BATCH / seconds


def time_steps(star: Path, box: int, out: Path, repeats: int) -> dict[str, float]:
    """Microseconds per image of `cryosway.prepare` on one thread, and of parts of it."""
    particles = cs.read_particles(star)
    parts = {
        "reading": (type(particles), "images"),
        "FFTs forth": (scipy.fft, "rfft2"),
        "FFTs back": (scipy.fft, "irfft2"),
        "writing, meanwhile": (StackWriter, "write"),
    }
    with ExitStack() as stack:
        clocks = {name: stack.enter_context(time_calls(*where)) for name, where in parts.items()}
        job = cs.prepare(
            particles, out, box=box, contrast="white", threads=1, overwrite=True, resume=False
        )
    shutil.rmtree(out)
    seconds = {"everything": job.info["timings"]["images"]}
    seconds |= {name: clock[0] for name, clock in clocks.items()}
    steps = {name: 1e6 * value / len(particles) for name, value in seconds.items()}
    return {**steps, TINY: per_image(prepare_tiled(16, 8), repeats)}


@contextmanager
def time_calls(owner: Any, name: str) -> Iterator[list[float]]:
    """Add up the seconds spent in a function while the context lasts."""
    original, clock = getattr(owner, name), [0.0]

    @wraps(original)
    def timed(*arguments: Any, **keywords: Any) -> Any:
        start = time.perf_counter()
        try:
            return original(*arguments, **keywords)
        finally:
            clock[0] += time.perf_counter() - start

    setattr(owner, name, timed)
    try:
        yield clock
    finally:
        setattr(owner, name, original)


def per_image(action: Callable[[], object], repeats: int) -> float:
    """Microseconds per image of an action on four batches."""
    return 1e6 * time_best(action, repeats) / (4 * BATCH)


def prepare_tiled(large: int, small: int) -> Callable[[], object]:
    """Prepare four batches of noise, in memory."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((4 * BATCH, large, large), dtype=np.float32)
    shifts = rng.uniform(-3, 3, (len(images), 2))
    geometry = GroupGeometry(large, large, small, PIXEL_SIZE * large / small)
    steps = PreparationSteps(small, normalise=True, window=True, whitening={})
    signs = np.ones(len(images), np.int8)
    return lambda: prepare_images(images, shifts, signs, 1, geometry, steps)


def time_uncached(path: Path, read: Callable[[], object]) -> float:
    """Seconds to read a file that the system has been told to forget."""
    forget(path)
    return time_best(read, 1)


def forget(path: Path) -> None:
    """Ask the system to drop a file from memory, where it can."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb+") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_bytes(path: Path) -> None:
    """Read a file in blocks of 16 MB."""
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def read_images(particles: cs.Particles) -> None:
    """Read all images, 256 at a time."""
    for start in range(0, len(particles), 256):
        particles.images(slice(start, start + 256))


def write_synced(path: Path, size: int) -> float:
    """Seconds to write bytes and have them on the disk."""
    block = os.urandom(1 << 22)
    start = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(max(1, size // len(block))):
            file.write(block)
        os.fsync(file.fileno())
    seconds = time.perf_counter() - start
    written = path.stat().st_size
    path.unlink()
    return seconds * size / written


# ---------------------------------------------------------------------------- results


def print_result(star: dict[str, Any], prepared: list[dict[str, Any]]) -> None:
    """Print both tables."""
    print(f"STAR, {star['rows']} rows, {star['megabytes']:.0f} MB")
    for name, seconds in star["seconds"].items():
        print(f"  {name:26} {seconds:7.3f} s")
    for row in prepared:
        print(
            f"\nprepare {row['from']} → {row['to']} px, {row['threads']} threads: "
            f"{row['images_per_second']:.0f} images/s; reading and FFTs are "
            f"{100 * row['share_of_limits']:.0f} % of the time on one thread"
        )
        print(f"  {'Particles.images':34} {row['read_per_second']:8.0f} images/s")
        for name, rate in row["limits"].items():
            print(f"  {name:34} {rate:8.0f} images/s")
        for name, microseconds in row["steps_us"].items():
            print(f"  {name:34} {microseconds:8.0f} µs per image, one thread")


def main() -> None:
    """Measure, print and write the result."""
    arguments = parse_arguments()
    folder = arguments.cache / "reading"
    folder.mkdir(parents=True, exist_ok=True)
    star = measure_star(folder, arguments)
    counts = (arguments.images, 4 * arguments.images)
    prepared = [
        measure_prepare(folder, sizes, count, arguments)
        for sizes, count in zip(SIZES, counts, strict=True)
    ]
    print_result(star, prepared)
    write_result(arguments.results, "reading", {"star": star, "prepare": prepared})


if __name__ == "__main__":
    main()
