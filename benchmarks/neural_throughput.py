"""Time training of `cryosway vae` against `cryodrgn train_vae`, side by side.

Both programs train the same network (residual MLPs as encoder and decoder, Gaussian features, eight
latent dimensions that enter the first layer) on the same images with the same batch, each as the
user runs it: its own command in its own environment, on one thread. Our own default network of that
size is timed too. One epoch and three are timed, and the slope between them is the throughput, free
of what is paid once (start-up, compilation, the last pass over the images, the final maps). Ours
starts from random weights, so that no other method takes part.

    python benchmarks/neural_throughput.py --peer-env ~/cryodrgn-4.3.1 --make-peer-env
"""

import argparse
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _cryodrgn import PeerInput, make_training_command, require_peer
from _measure import make_parser, method_command, parse_options, write_result
from backproject_vs_cryodrgn import PEER_REQUIREMENTS, make_dataset, make_phantom

from cryosway.engine import Cost, run_measured

LATENT_DIM, LAYERS = 8, 3
EPOCHS = (1, 3)
PEER = "cryodrgn"
# What makes our network cryoDRGN's: its symmetry, and the latent in the first layer only.
SAME_NETWORK: dict[str, str | int] = {
    "domain": "fourier",
    "conditioning": "concatenate",
    "encoder_layers": LAYERS,
}
OWN: dict[str, dict[str, str | int]] = {
    "cryosway": {**SAME_NETWORK, "precision": "auto"},
    "cryosway float32": {**SAME_NETWORK, "precision": "float32"},
    "cryosway own network": {"precision": "auto"},
}


@dataclass(frozen=True)
class Case:
    """A size of image and of network, and how many images each program gets.

    The numbers make the difference between the two runs a minute or two on one core.
    """

    box: int
    width: int
    peer_images: int
    images: int

    @property
    def name(self) -> str:
        """As it is asked for: ``64x256``."""
        return f"{self.box}x{self.width}"

    def images_of(self, program: str) -> int:
        """Images that a program gets."""
        return self.peer_images if program == PEER else self.images


CASES = {
    case.name: case
    for case in (
        Case(64, 256, 800, 2400),
        Case(64, 1024, 96, 320),
        Case(128, 256, 160, 560),
        Case(128, 1024, 24, 96),
    )
}


@dataclass(frozen=True)
class Timing:
    """What one run cost."""

    program: str
    case: str
    images: int
    epochs: int
    cost: Cost


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.set_defaults(threads=1)
    parser.add_argument("--peer-env", type=Path, help="environment of cryoDRGN")
    parser.add_argument("--make-peer-env", action="store_true", help="make it if it is missing")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--batch", type=int, default=8, help="images")
    parser.add_argument(
        "--programs", nargs="+", choices=[PEER, *OWN], default=[PEER, *OWN], help="to time"
    )
    parser.add_argument("--repeats", type=int, default=3, help="the best run counts")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the numbers of images, to try things out"
    )
    parser.add_argument("--option", nargs="*", default=[], help="of vae, as compile=false")
    return parser.parse_args()


def prepare(case: Case, n: int, arguments: argparse.Namespace) -> Path:
    """Make the images that both programs read, if they are not there."""
    folder: Path = arguments.cache / "neural_throughput" / f"{case.box}px_n{n}"
    if not (folder / "ctf.pkl").exists():
        phantom = make_phantom(case.box, np.random.default_rng(arguments.seed))
        make_dataset(folder, phantom, n, arguments.seed + n)
    return folder


def build_command(
    program: str, case: Case, epochs: int, data: Path, arguments: argparse.Namespace
) -> tuple[list[str], Path]:
    """Command line of one program, and the folder that it fills."""
    out = data / f"{program.replace(' ', '_')}_{case.width}"
    if program == PEER:
        shared = {"enc-dim": case.width, "dec-dim": case.width, "zdim": LATENT_DIM}
        layers = {"enc-layers": LAYERS, "dec-layers": LAYERS}
        run = {"num-epochs": epochs, "batch-size": arguments.batch, "seed": arguments.seed}
        given = PeerInput.of_folder(data)
        options = {**shared, **layers, **run}
        return make_training_command(arguments.peer_env, given, out, options), out
    same = OWN[program].keys() >= SAME_NETWORK.keys()
    ours = {
        **({"encoder_width": case.width, "encoder_box": case.box} if same else {}),
        "latent_dim": LATENT_DIM,
        "width": case.width,
        "layers": LAYERS,
        "epochs": epochs,
        "held_out": 0.0,  # all are trained on, as in cryoDRGN
        "batch_size": arguments.batch,
        "start": "random",
        "seed": arguments.seed,
        "device": "cpu",
        **OWN[program],
        **parse_options(arguments.option),
    }
    return method_command("vae", data / "particles.star", out, ours, arguments.threads), out


def time_program(program: str, case: Case, epochs: int, arguments: argparse.Namespace) -> Timing:
    """Run one program for some epochs, in an empty folder."""
    n = max(arguments.batch, round(arguments.share * case.images_of(program)))
    data = prepare(case, n, arguments)
    command, out = build_command(program, case, epochs, data, arguments)
    shutil.rmtree(out, ignore_errors=True)
    cost = run_measured(command, out.with_suffix(".log"), arguments.threads)
    print(
        f"{program:20} {case.name:9} {epochs} × {n:5d} images  wall {cost.wall_s:7.1f} s  CPU "
        f"{cost.cpu_s:7.1f} s  memory {cost.peak_memory_mb:6.0f} MB",
        flush=True,
    )
    return Timing(program, case.name, n, epochs, cost)


def time_case(case: Case, arguments: argparse.Namespace) -> list[Timing]:
    """Time the programs in turn."""
    return [
        time_program(program, case, epochs, arguments)
        for _ in range(arguments.repeats)
        for epochs in EPOCHS
        for program in arguments.programs
    ]


def measure_slope(timings: list[Timing]) -> float | None:
    """Images per CPU second between the two numbers of epochs, the best run of each.

    None where more epochs were no slower: too few images, or too busy a machine.
    """
    few, many = (min(t.cost.cpu_s for t in timings if t.epochs == epochs) for epochs in EPOCHS)
    trained = (EPOCHS[1] - EPOCHS[0]) * timings[0].images
    return trained / (many - few) if many > few else None


def summarise_case(case: Case, timings: list[Timing]) -> dict[str, Any]:
    """Images per CPU second and largest memory of every program, and ours over cryoDRGN's."""
    programs = {}
    for program in dict.fromkeys(timing.program for timing in timings):
        own = [timing for timing in timings if timing.program == program]
        programs[program] = {
            "images_per_cpu_s": measure_slope(own),
            "peak_memory_mb": max(timing.cost.peak_memory_mb for timing in own),
        }
    peer = programs.get(PEER, {}).get("images_per_cpu_s")
    ratios = {
        name: row["images_per_cpu_s"] / peer
        for name, row in programs.items()
        if name != PEER and peer and row["images_per_cpu_s"]
    }
    return {"box": case.box, "width": case.width, "programs": programs, "ratio": ratios}


def print_case(row: dict[str, Any]) -> None:
    """Print the throughputs of one case."""
    for program, found in row["programs"].items():
        rate = found["images_per_cpu_s"]
        shown = "too few images" if rate is None else f"{rate:8.2f} images/CPU-s"
        ratio = row["ratio"].get(program)
        more = "" if ratio is None else f"  × {ratio:.2f} of cryoDRGN"
        print(f"  {row['box']} px, {row['width']}×{LAYERS}: {program:20} {shown}{more}", flush=True)


def main() -> None:
    """Time every case, print and write the result."""
    arguments = parse_arguments()
    if PEER in arguments.programs:
        require_peer(arguments.peer_env, make=arguments.make_peer_env)
    rows, runs = [], []
    for name in arguments.cases:
        timings = time_case(CASES[name], arguments)
        rows.append(summarise_case(CASES[name], timings))
        runs += [asdict(timing) for timing in timings]
        print_case(rows[-1])
        result = {
            "peer": list(PEER_REQUIREMENTS),
            "batch": arguments.batch,
            "layers": LAYERS,
            "latent_dim": LATENT_DIM,
            "threads": arguments.threads,
            "share": arguments.share,
            "options": parse_options(arguments.option),
        }
        write_result(
            arguments.results, "neural_throughput", {**result, "cases": rows, "runs": runs}
        )


if __name__ == "__main__":
    main()
