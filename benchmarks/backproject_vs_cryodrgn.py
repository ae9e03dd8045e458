"""Time `cryosway backproject` against `cryodrgn backproject_voxel`, side by side.

Both programs get the same images (a phantom seen at random views through a CTF, with noise),
each as the user runs it: its own command in its own environment, with half-maps and FSC. Two
numbers of images are timed and the slope between them is the throughput, free of what is paid
once (start-up, compilation, the final transforms). CryoDRGN is run with its default batch of
1000 images and with one of 100, which fits the cache and is faster. The maps are compared with
the phantom, so that a program that is fast because it is wrong shows.

    python benchmarks/backproject_vs_cryodrgn.py --peer-env ~/peer --make-peer-env
"""

import argparse
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from _measure import RESULTS, write_result

from cryosway.optics import (
    CtfParams,
    compute_ctf,
    extract_slices,
    half_plane_frequencies,
    ifft2_half,
    make_disc,
    matrix_to_relion_euler,
    random_rotations,
    shift_images,
    volume_to_grid,
)
from cryosway.particles import StackWriter, StarBlock, read_map, write_star

FloatArray = npt.NDArray[np.float64]

PEER_REQUIREMENTS = ("torch==2.13.0", "cryodrgn==4.3.1")
PIXEL_SIZE = 3.0  # Å
VOLTAGE, CS, AMPLITUDE_CONTRAST = 300.0, 2.7, 0.1
SNR = 0.1
BATCH = 50


@dataclass(frozen=True)
class Timing:
    """What one run of a program cost."""

    program: str  # "cryosway", or "cryodrgn" and its batch size
    images: int
    wall_s: float
    cpu_s: float
    peak_memory_mb: float
    correlation: float


# ---------------------------------------------------------------------------- the data set


def make_phantom(box: int, rng: np.random.Generator) -> torch.Tensor:
    """Make a density (z, y, x) of 300 Gaussian balls inside a sphere of a quarter of the box."""
    centres = rng.normal(size=(300, 3))
    centres *= box / 4 * rng.random((300, 1)) ** (1 / 3) / np.linalg.norm(centres, axis=1)[:, None]
    axis = np.arange(box) - box // 2
    profiles = np.exp(-0.5 * (axis - centres[..., None]) ** 2 / 1.5**2)
    return torch.as_tensor(np.einsum("nz,ny,nx->zyx", *profiles.transpose(1, 0, 2)))


def draw_metadata(n: int, box: int, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Draw poses (matrices; shifts in Å) and defocus (Å, degrees) of n particles."""
    defocus = rng.uniform(8_000, 25_000, n)
    return {
        "rotations": random_rotations(n, rng),
        "shifts": rng.uniform(-0.03, 0.03, (n, 2)) * box * PIXEL_SIZE,
        "defocus_u": defocus + 150,
        "defocus_v": defocus - 150,
        "defocus_angle": rng.uniform(0, 180, n),
    }


def make_ctf_params(truth: dict[str, FloatArray], rows: slice) -> CtfParams:
    """CTF parameters of some of the particles, as tensors."""
    import pandas as pd

    names = ("defocus_u", "defocus_v", "defocus_angle")
    table = pd.DataFrame({name: truth[name][rows] for name in names})
    table = table.assign(
        voltage=VOLTAGE, cs=CS, amplitude_contrast=AMPLITUDE_CONTRAST, pixel_size=PIXEL_SIZE
    )
    return CtfParams.from_table(table)


def write_stack(
    path: Path, phantom: torch.Tensor, truth: dict[str, FloatArray], rng: np.random.Generator
) -> None:
    """Project the phantom at every pose, apply CTF and shift, add white noise, and write."""
    box, n = phantom.shape[0], len(truth["rotations"])
    grid = volume_to_grid(phantom).to(torch.complex64)
    disc = make_disc(box, box // 2 - 1)
    frequencies = half_plane_frequencies(box)
    noise_sd = 0.0
    with StackWriter(path, box, PIXEL_SIZE, "float32", n) as stack:
        for start in range(0, n, BATCH):
            rows = slice(start, min(start + BATCH, n))
            rotations = torch.as_tensor(truth["rotations"][rows], dtype=torch.float32)
            slices = disc.unpack(extract_slices(grid, rotations, disc.points))
            slices = slices * compute_ctf(frequencies, make_ctf_params(truth, rows))
            shifts = torch.as_tensor(-truth["shifts"][rows] / PIXEL_SIZE)
            images = ifft2_half(shift_images(slices, shifts)).numpy()
            noise_sd = noise_sd or float(images.std()) / SNR**0.5
            noise = rng.standard_normal(images.shape, dtype=np.float32)
            stack.write(images + np.float32(noise_sd) * noise)


def write_relion_star(path: Path, stack: Path, truth: dict[str, FloatArray], box: int) -> None:
    """Write the metadata as cryosway reads it: a RELION 3.1 STAR file."""
    n = len(truth["rotations"])
    optics = {
        "rlnOpticsGroup": 1,
        "rlnOpticsGroupName": "optics1",
        "rlnVoltage": VOLTAGE,
        "rlnSphericalAberration": CS,
        "rlnAmplitudeContrast": AMPLITUDE_CONTRAST,
        "rlnImagePixelSize": PIXEL_SIZE,
        "rlnImageSize": box,
        "rlnImageDimensionality": 2,
    }
    rot, tilt, psi = matrix_to_relion_euler(truth["rotations"])
    numbers = {
        "rlnAngleRot": rot,
        "rlnAngleTilt": tilt,
        "rlnAnglePsi": psi,
        "rlnOriginXAngst": truth["shifts"][:, 0],
        "rlnOriginYAngst": truth["shifts"][:, 1],
        "rlnDefocusU": truth["defocus_u"],
        "rlnDefocusV": truth["defocus_v"],
        "rlnDefocusAngle": truth["defocus_angle"],
    }
    particles = {name: pa.array([f"{v:.6f}" for v in values]) for name, values in numbers.items()}
    particles["rlnImageName"] = pa.array([f"{i + 1:06d}@{stack.name}" for i in range(n)])
    particles["rlnOpticsGroup"] = pa.array(["1"] * n)
    optics_columns = {name: pa.array([str(value)]) for name, value in optics.items()}
    write_star(path, [StarBlock("optics", optics_columns), StarBlock("particles", particles)])


def write_cryodrgn_pickles(folder: Path, truth: dict[str, FloatArray], box: int) -> None:
    """Write the metadata as cryoDRGN reads it: poses.pkl and ctf.pkl."""
    n = len(truth["rotations"])
    poses = (truth["rotations"], truth["shifts"] / (box * PIXEL_SIZE))
    ctf = np.zeros((n, 9))
    ctf[:, :2] = box, PIXEL_SIZE
    ctf[:, 2] = truth["defocus_u"]
    ctf[:, 3] = truth["defocus_v"]
    ctf[:, 4] = truth["defocus_angle"]
    ctf[:, 5:8] = VOLTAGE, CS, AMPLITUDE_CONTRAST
    (folder / "poses.pkl").write_bytes(pickle.dumps(poses))
    (folder / "ctf.pkl").write_bytes(pickle.dumps(ctf.astype(np.float32)))


def make_dataset(folder: Path, phantom: torch.Tensor, n: int, seed: int) -> None:
    """Write n images with the metadata of both programs."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    box = phantom.shape[0]
    truth = draw_metadata(n, box, rng)
    write_stack(folder / "particles.mrcs", phantom, truth, rng)
    write_relion_star(folder / "particles.star", folder / "particles.mrcs", truth, box)
    write_cryodrgn_pickles(folder, truth, box)


# ---------------------------------------------------------------------------- the two programs


def make_peer_environment(folder: Path) -> None:
    """Install cryoDRGN into an environment of its own."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    subprocess.run([str(folder / "bin/pip"), "install", "-q", *PEER_REQUIREMENTS], check=True)


def build_peer_command(peer: Path, data: Path, out: Path, batch: int) -> list[str]:
    """Give the command line of ``cryodrgn backproject_voxel``."""
    command = [str(peer / "bin/cryodrgn"), "backproject_voxel", str(data / "particles.mrcs")]
    command += ["--poses", str(data / "poses.pkl"), "--ctf", str(data / "ctf.pkl")]
    return [*command, "--outdir", str(out), "--batch-size", str(batch), "--ctf-alg", "mul"]


def build_own_command(data: Path, out: Path, threads: int) -> list[str]:
    """Give the command line of ``cryosway backproject``."""
    command = [sys.executable, "-m", "cryosway.cli", "backproject", str(data / "particles.star")]
    return [*command, "--out", str(out), "--device", "cpu", "--threads", str(threads)]


def run_timed(command: list[str], threads: int, log: Path) -> tuple[float, float, float]:
    """Run a command; give wall seconds, CPU seconds (with its children's) and peak MB."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads)) | {"CUDA_VISIBLE_DEVICES": ""}
    with log.open("w") as file:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{log.read_text()[-3000:]}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def correlate(path: Path, phantom: torch.Tensor) -> float:
    """Correlation of a map with the phantom inside the sphere that holds it."""
    volume, _ = read_map(path)
    axis = np.arange(len(volume)) - len(volume) // 2
    inside = sum(np.ix_(axis**2, axis**2, axis**2)) < (0.35 * len(volume)) ** 2
    return float(np.corrcoef(volume[inside], phantom.numpy()[inside])[0, 1])


# ---------------------------------------------------------------------------- the comparison


def time_program(
    program: str, data: Path, phantom: torch.Tensor, arguments: argparse.Namespace
) -> Timing:
    """Run one program on one data set, in an empty folder."""
    out = data / f"out-{program.replace(' ', '-')}"
    shutil.rmtree(out, ignore_errors=True)
    if program == "cryosway":
        command = build_own_command(data, out, arguments.threads)
        path = out / "volumes" / "mean.mrc"
    else:
        command = build_peer_command(arguments.peer_env, data, out, int(program.split()[1]))
        path = out / "backproject.mrc"
    cost = run_timed(command, arguments.threads, out.with_suffix(".log"))
    timing = Timing(program, int(data.name), *cost, correlation=correlate(path, phantom))
    print(
        f"{program:13} {timing.images:7d} images  wall {timing.wall_s:7.1f} s"
        f"  CPU {timing.cpu_s:7.1f} s  memory {timing.peak_memory_mb:6.0f} MB"
        f"  correlation {timing.correlation:.3f}",
        flush=True,
    )
    return timing


def measure_slope(timings: list[Timing], what: str) -> float:
    """Images per second between the smallest and the largest set, the best run of each.

    NaN where the larger set was no slower: too few images, or too busy a machine.
    """
    best: dict[int, float] = {}
    for timing in timings:
        cost = getattr(timing, what)
        best[timing.images] = min(best.get(timing.images, np.inf), cost)
    small, large = min(best), max(best)
    seconds = best[large] - best[small]
    return (large - small) / seconds if seconds > 0 else float("nan")


def summarise(timings: list[Timing]) -> dict[str, dict[str, float]]:
    """Images per CPU second and per wall second of each program, net of start-up."""
    summary = {}
    for program in dict.fromkeys(timing.program for timing in timings):
        own = [timing for timing in timings if timing.program == program]
        summary[program] = {
            "images_per_cpu_s": measure_slope(own, "cpu_s"),
            "images_per_wall_s": measure_slope(own, "wall_s"),
        }
    return summary


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-env", type=Path, required=True, help="environment of cryoDRGN")
    parser.add_argument("--make-peer-env", action="store_true", help="make it if it is missing")
    parser.add_argument("--box", type=int, default=128, help="pixels")
    parser.add_argument("--images", type=int, nargs=2, default=(2000, 20_000), help="for cryosway")
    parser.add_argument(
        "--peer-images", type=int, nargs=2, default=(1000, 3000), help="for cryoDRGN"
    )
    parser.add_argument(
        "--peer-batches", type=int, nargs="*", default=(1000, 100), help="cryoDRGN's batch sizes"
    )
    parser.add_argument("--threads", type=int, default=1, help="of each program")
    parser.add_argument("--repeats", type=int, default=2, help="the best run counts")
    parser.add_argument("--skip-own", action="store_true", help="time cryoDRGN only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="folder for the stacks (default: temporary)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON results")
    return parser.parse_args()


def run_all(work: Path, arguments: argparse.Namespace) -> list[Timing]:
    """Make the data sets and time the programs on them in turn."""
    phantom = make_phantom(arguments.box, np.random.default_rng(arguments.seed))
    sizes = {f"cryodrgn {batch}": arguments.peer_images for batch in arguments.peer_batches}
    if not arguments.skip_own:
        sizes["cryosway"] = arguments.images
    for n in sorted({n for pair in sizes.values() for n in pair}):
        if not (work / str(n) / "ctf.pkl").exists():
            make_dataset(work / str(n), phantom, n, arguments.seed + n)
    return [
        time_program(program, work / str(pair[which]), phantom, arguments)
        for _ in range(arguments.repeats)
        for which in (0, 1)
        for program, pair in sizes.items()
    ]


def print_table(summary: dict[str, dict[str, float]]) -> None:
    """Print the throughputs, and how many times cryoDRGN's ours is."""
    print("\nnet of start-up  images/CPU-s  images/s   cryosway is faster by")
    own = summary.get("cryosway")
    for program, row in summary.items():
        line = f"{program:15} {row['images_per_cpu_s']:13.1f} {row['images_per_wall_s']:9.1f}"
        if own and program != "cryosway":
            cpu, wall = (own[key] / row[key] for key in ("images_per_cpu_s", "images_per_wall_s"))
            line += f"   × {cpu:.1f} (CPU), × {wall:.1f} (wall)"
        print(line)


def main() -> None:
    """Run the comparison, print the table and write the JSON file."""
    arguments = parse_arguments()
    if arguments.peer_batches and not (arguments.peer_env / "bin/cryodrgn").exists():
        if not arguments.make_peer_env:
            raise SystemExit(f"no cryodrgn in {arguments.peer_env}; add --make-peer-env")
        make_peer_environment(arguments.peer_env)
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as temporary:
        timings = run_all(arguments.work or Path(temporary), arguments)
    summary = summarise(timings)
    print_table(summary)
    own = summary.get("cryosway")
    peers = {name: row for name, row in summary.items() if name != "cryosway"}
    result = {
        "peer": list(PEER_REQUIREMENTS),
        "box": arguments.box,
        "threads": arguments.threads,
        "runs": [asdict(timing) for timing in timings],
        "throughput": summary,
        "ratio": own and {n: {key: own[key] / row[key] for key in own} for n, row in peers.items()},
    }
    write_result(arguments.results, "backproject_vs_cryodrgn", result)


if __name__ == "__main__":
    main()
