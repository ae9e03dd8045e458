"""Start-up, memory and throughput of `cryosway structural` on a ribosome.

PDB 4V5D (70S ribosome with tRNAs: about 11,000 residues and nucleotides, 150,000 atoms) at 128 px.
Start-up is all until the first step of training, imports, docking check, normal modes and the
motion along them, on few images; then one pass of training tells images per second. Nothing is
written.

    python benchmarks/structural_large.py --threads 1
"""

import argparse
import contextlib
import resource
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from _datasets import find_data
from _measure import make_parser, parse_options, write_result

from cryosway.engine import read_json, train
from cryosway.methods._structural import structural as structural_module
from cryosway.protein import read_structure, write_structure
from cryosway.simulate import SimulatedSet, simulate

_IMPORTED = time.process_time()


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--box", type=int, default=128)
    parser.add_argument("--pixel-size", type=float, default=2.8, help="Å")
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--option", nargs="*", default=[], help="of structural, as modes=10")
    return parser.parse_args()


def build(arguments: argparse.Namespace) -> tuple[SimulatedSet, Path]:
    """Simulate images of the ribosome; give them and the model in their frame."""
    atoms = read_structure(
        find_data(arguments.data) / "models" / "4v5d.cif.gz", ligands=False
    ).without_hydrogens()
    middle = np.average(atoms.coordinates, axis=0, weights=atoms.atomic_numbers)
    atoms = atoms.with_coordinates(atoms.coordinates - middle)
    out = arguments.cache / f"large_box{arguments.box}_n{arguments.images}"
    made = simulate(
        [atoms],
        out,
        n=arguments.images,
        box=arguments.box,
        pixel_size=arguments.pixel_size,
        snr=arguments.snr,
        seed=arguments.seed,
        superpose=False,
        threads=arguments.threads,
    )
    model = out / "model.cif"
    if not model.exists():
        write_structure(model, atoms)
    return made, model


class _Measured(Exception):  # noqa: N818
    """Ends the method where all is measured."""


def measure(made: SimulatedSet, model: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the method for one pass over the images, and note when training begins."""
    noted = dict[str, float]()
    begun = time.process_time()

    def train_and_stop(*given: Any, **more: Any) -> None:
        before = time.process_time()
        noted["startup_cpu_s"] = _IMPORTED + before - begun
        noted["startup_memory_mb"] = peak_memory_mb()
        train(*given, **more)
        noted["training_cpu_s"] = time.process_time() - before
        raise _Measured

    out = arguments.cache / "jobs" / made.path.name
    with (
        mock.patch.object(structural_module, "train", train_and_stop),
        contextlib.suppress(_Measured),
    ):
        structural_module.structural(
            made.particles,
            out,
            model=model,
            epochs=1,
            halves=False,
            seed=arguments.seed,
            threads=arguments.threads,
            overwrite=True,
            resume=False,
            device="cpu",
            **parse_options(arguments.option),
        )
    return {
        **noted,
        "images_per_cpu_s": arguments.images / noted["training_cpu_s"],
        "peak_memory_mb": peak_memory_mb(),
        "stages_wall_s": read_json(out / "job.json")["timings"],
    }


def peak_memory_mb() -> float:
    """Largest resident set so far, MB of 10⁶ bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> None:
    """Measure, print and write the result."""
    arguments = parse_arguments()
    made, model = build(arguments)
    result = measure(made, model, arguments)
    for name, value in result.items():
        print(f"{name}: {value}")
    write_result(
        arguments.results,
        "structural_large",
        {
            "images": arguments.images,
            "box": arguments.box,
            "options": parse_options(arguments.option),
            **result,
        },
    )


if __name__ == "__main__":
    main()
