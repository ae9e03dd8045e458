"""Speed of training `cryosway vae` on a CUDA device: images per second and share of its peak.

Networks of 256×3 and 1024×3 at 128 and 256 px, in bf16. The speed is that of the last epoch, as
``metrics.csv`` has it: start-up and compilation do not count, reading and all else do. Operations
are those of the decoder's matrix products (forward once, backward twice) over the half disc of
Fourier pixels that is computed; the share is of the peak that the maker states for dense bf16.
Where there is no CUDA device, the command says so and writes nothing.

    python benchmarks/neural_gpu.py --cases 128x1024 --images 20000
"""

import argparse
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _measure import make_parser, method_command, parse_options, write_result
from backproject_vs_cryodrgn import make_dataset, make_phantom

import cryosway as cs
from cryosway.engine import Cost, run_measured

LATENT_DIM, LAYERS = 8, 3
TARGET = {"case": "128x1024", "images": 100_000, "seconds": 30.0}  # per epoch, on one H200
# Dense bf16 (fp16 where there is none), 10¹² operations per second, from the makers' data sheets.
PEAKS = {
    "H200": 989, "H100 PCIe": 756, "H100": 989, "A100": 312, "L40S": 362, "A10": 125, "V100": 125,
    "RTX 4090": 165, "RTX 3090": 71,
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A size of image, of network and of batch."""

    box: int
    width: int
    batch: int

    @property
    def name(self) -> str:
        """As it is asked for: ``128x1024``."""
        return f"{self.box}x{self.width}"

    @property
    def operations(self) -> float:
        """Operations of training on one image, 10⁹."""
        points = np.pi / 8 * self.box**2
        encoded = 3 * self.box  # sine and cosine of D/2 waves for each axis
        layers = (encoded + LATENT_DIM) * self.width + LAYERS * self.width**2 + 2 * self.width
        return float(3 * 2 * points * layers / 1e9)


CASES = {
    case.name: case
    for case in (Case(128, 256, 256), Case(128, 1024, 64), Case(256, 256, 64), Case(256, 1024, 16))
}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--images", type=int, default=20_000, help="of 128 px; a quarter of 256 px")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, help="images; by default one for each case")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--option", nargs="*", default=[], help="of vae, as compile=true")
    return parser.parse_args()


def find_peak(name: str) -> float | None:
    """Peak of a device in 10¹² operations per second, where it is known."""
    return next((float(peak) for part, peak in PEAKS.items() if part in name), None)


def prepare(box: int, n: int, arguments: argparse.Namespace) -> Path:
    """Make the images, if they are not there."""
    folder: Path = arguments.cache / "neural_gpu" / f"{box}px_n{n}"
    if not (folder / "ctf.pkl").exists():
        make_dataset(folder, make_phantom(box, np.random.default_rng(0)), n, arguments.seed)
    return folder


def train(case: Case, n: int, arguments: argparse.Namespace) -> tuple[cs.Job, Cost]:
    """Train one network in a process of its own."""
    data = prepare(case.box, n, arguments)
    out = data / f"vae_{case.width}"
    shutil.rmtree(out, ignore_errors=True)
    options = {
        "latent_dim": LATENT_DIM,
        "width": case.width,
        "layers": LAYERS,
        "encoder_width": case.width,
        "epochs": arguments.epochs,
        "batch_size": arguments.batch or case.batch,
        "start": "random",
        "precision": "bf16",
        "device": arguments.device,
        "seed": arguments.seed,
        **parse_options(arguments.option),
    }
    command = method_command("vae", data / "particles.star", out, options, arguments.threads)
    cost = run_measured(command, out.with_suffix(".log"), arguments.threads)
    return cs.open_job(out), cost


def measure(case: Case, peak: float | None, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one case; and once on fewer images, to see whether device memory grows."""
    n = arguments.images if case.box == 128 else arguments.images // 4
    few, _ = train(case, max(n // 4, arguments.batch or case.batch), arguments)
    job, cost = train(case, n, arguments)
    rate = read_rate(job.path)
    reached = rate * case.operations / 1e3
    return {
        "case": case.name,
        "box": case.box,
        "width": case.width,
        "batch": arguments.batch or case.batch,
        "images": n,
        "images_per_s": rate,
        "seconds_per_100000": 1e5 / rate,
        "tflops": reached,
        "share_of_peak": None if peak is None else reached / peak,
        "device_memory_mb": read_device_memory(job),
        "device_memory_mb_of_a_quarter": read_device_memory(few),
        "cost": asdict(cost),
    }


def read_rate(job: Path) -> float:
    """Images per second of the last epoch."""
    table = pd.read_csv(job / "metrics.csv")
    return float(table.loc[table["over"] == "epoch", "items_per_s"].iloc[-1])


def read_device_memory(job: cs.Job) -> float | None:
    """Largest memory on the device, MB."""
    used = job.info.get("peak_device_memory_bytes")
    return None if used is None else used / 1e6


def print_row(row: dict[str, Any]) -> None:
    """Print one case."""
    share = row["share_of_peak"]
    of_peak = "" if share is None else f" ({100 * share:.0f} % of the peak)"
    memory = [row[name] or 0 for name in ("device_memory_mb", "device_memory_mb_of_a_quarter")]
    print(
        f"{row['box']} px, {row['width']}×{LAYERS}, batch {row['batch']}: "
        f"{row['images_per_s']:.0f} images/s, {row['seconds_per_100000']:.0f} s for 100,000; "
        f"{row['tflops']:.1f} TFLOP/s{of_peak}; device memory {memory[0]:.0f} MB, with a quarter "
        f"of the images {memory[1]:.0f} MB",
        flush=True,
    )


def main() -> None:
    """Measure every case, print and write the result."""
    import torch

    arguments = parse_arguments()
    on_cuda = arguments.device.startswith("cuda")
    if on_cuda and not torch.cuda.is_available():
        print("no CUDA device here: nothing was measured")
        return
    device = torch.cuda.get_device_name() if on_cuda else arguments.device
    peak = find_peak(device)
    rows = []
    for name in arguments.cases:
        rows.append(measure(CASES[name], peak, arguments))
        print_row(rows[-1])
        result = {"device": device, "peak_tflops": peak, "epochs": arguments.epochs}
        result |= {"target": TARGET, "options": parse_options(arguments.option), "cases": rows}
        write_result(arguments.results, "neural_gpu", result)


if __name__ == "__main__":
    main()
