"""A million particles: what `landscape`, `states` and `report` cost, in time and memory.

A synthetic job folder, as `vae` leaves one: a table of a million particles with views, defocus and
six latents (two basins joined by a bent way, a state of 1 % apart from them, 0.2 % of junk), and
maps of 48 voxels from a linear model of adenylate kinase. The three commands are run as a user
runs them. Each is measured from outside: wall time, CPU seconds of all threads, largest resident
memory. Look at the figures in the job's folder, too.

    python benchmarks/million.py --particles 1000000 --threads 2
"""

import argparse
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _measure import make_parser, write_result

from cryosway.engine import JobFolder, run_measured, write_json, write_table
from cryosway.methods._neural.model import NeuralModel
from cryosway.particles import write_map
from cryosway.simulate import adenylate_kinase_states, truth_volume
from cryosway.volumes import FieldSpec, NeuralField, NeuralVolume

BOX, PIXEL_SIZE, LATENTS = 48, 2.5, 6
COMMANDS = ("landscape", "states", "report")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--particles", type=int, default=1_000_000)
    parser.add_argument("--keep", action="store_true", help="do not make the job folder anew")
    return parser.parse_args()


def draw_latents(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw posterior means and standard deviations under a unit prior, shapes (N, 6)."""
    kind = rng.choice(4, count, p=[0.55, 0.438, 0.01, 0.002])  # basin, way, rare state, junk
    along = np.where(kind == 0, -0.8 + 0.25 * rng.normal(size=count), rng.uniform(-1, 1.2, count))
    z = 0.05 * rng.normal(size=(count, LATENTS))
    z[:, 0] += 1.1 * along
    z[:, 1] += 0.9 * (along**2 - 0.6)
    z[kind == 2, :3] = [0.3, 1.3, 1.0]
    z[kind == 2] += 0.1 * rng.normal(size=((kind == 2).sum(), LATENTS))
    z[kind == 3] = 2.5 * rng.normal(size=((kind == 3).sum(), LATENTS))
    sd = 0.15 * np.exp(0.3 * rng.normal(size=(count, 1)) + 0.1 * rng.normal(size=z.shape))
    variance = 1 / (1 / sd**2 + 1)
    return variance * (z + sd * rng.normal(size=z.shape)) / sd**2, np.sqrt(variance)


def make_particles(count: int, seed: int) -> pd.DataFrame:
    """Make particles.parquet, with the columns of a real one."""
    rng = np.random.default_rng(seed)
    means, sd = draw_latents(rng, count)
    view = rng.normal(size=(count, 3)) * [1.0, 1.0, 1.6]  # more from the top than from the side
    defocus = rng.uniform(8e3, 22e3, count)
    columns = {
        "index": np.arange(count),
        "rot": np.degrees(np.arctan2(view[:, 1], view[:, 0])),
        "tilt": np.degrees(np.arccos(view[:, 2] / np.linalg.norm(view, axis=1))),
        "psi": rng.uniform(-180, 180, count),
        "shift_x": rng.normal(size=count),
        "shift_y": rng.normal(size=count),
        "defocus_u": defocus,
        "defocus_v": defocus - rng.uniform(0, 500, count),
        "defocus_angle": rng.uniform(0, 180, count),
        "optics_group": np.ones(count, np.int64),
        "half": (1 + np.arange(count) % 2).astype(np.int8),
        "contrast": 1 + 0.1 * rng.normal(size=count),
        "log_likelihood": -900 + 30 * rng.normal(size=count),
        "sign": np.ones(count, np.int8),
    }
    columns |= {f"z{k + 1}": means[:, k] for k in range(LATENTS)}
    columns |= {f"z{k + 1}_sd": sd[:, k] for k in range(LATENTS)}
    return pd.DataFrame(columns)


def make_model() -> NeuralModel:
    """Make a model whose maps are linear in the latents: a mean and two components."""
    states = adenylate_kinase_states(9)
    volumes = np.stack([truth_volume(state, BOX, PIXEL_SIZE, 6.0) for state in states])
    mean = volumes.mean(axis=0)
    shape = (len(states), -1)
    _, spread, modes = np.linalg.svd((volumes - mean).reshape(shape), full_matrices=False)
    base = np.zeros((1 + LATENTS, BOX, BOX, BOX), np.float32)
    base[0] = mean
    base[1:3] = (spread[:2, None] * modes[:2] / 3).reshape(2, *mean.shape)
    spec = FieldSpec(box=BOX, latent_dim=LATENTS, width=8, layers=1, anchors=4)
    silent = torch.zeros(BOX // 2)  # the network adds nothing
    mask = (volumes.max(axis=0) > 0.1 * mean.max()).astype(np.float32)
    return NeuralModel(
        volume=NeuralVolume(NeuralField(spec), silent, torch.from_numpy(base)),
        encoder=None,
        mask=torch.from_numpy(mask),
        signal=torch.ones(BOX // 2),
        noise=np.ones((1, BOX // 2)),
        contrast_sd=0.1,
        pixel_size=PIXEL_SIZE,
    )


def make_job(folder: Path, count: int, seed: int) -> None:
    """Write a finished job of `vae` without images."""
    directions = [
        {"variance_explained": share, "noise_alone": 0.0001, "p_value": p}
        for share, p in ((0.05, 1e-4), (0.02, 1e-4), (0.004, 2e-3), (0.0001, 0.9))
    ]
    with JobFolder.start(folder, "vae", {"seed": seed}, {}, overwrite=True) as job:
        model = make_model()
        model.save(folder)
        (folder / "volumes").mkdir()
        maps = {"mean": model.volume.base[0].numpy(), "mask": model.mask.numpy()}
        for name, volume in maps.items():
            write_map(folder / "volumes" / f"{name}.mrc", volume, PIXEL_SIZE)
        labels = {"mean": "consensus", "mask": "mask"}
        entries = [{"file": f"{k}.mrc", "kind": k, "label": labels[k], "z": None} for k in maps]
        write_json(folder / "volumes" / "volumes.json", {"volumes": entries})
        write_table(folder / "particles.parquet", make_particles(count, seed))
        verdict = {"verdict": "heterogeneous", "directions": directions}
        job.update(box=BOX, pixel_size=PIXEL_SIZE, heterogeneity=verdict)


def main() -> None:
    """Make the job, run the commands, write what they cost."""
    arguments = parse_arguments()
    folder = arguments.cache / f"million_{arguments.particles}"
    if not arguments.keep:
        shutil.rmtree(folder, ignore_errors=True)
        make_job(folder, arguments.particles, arguments.seed)
    costs = {}
    for command in COMMANDS:
        words = [sys.executable, "-m", "cryosway.cli", command, str(folder)]
        cost = run_measured(words, folder.parent / f"{folder.name}_{command}.log",
                            arguments.threads)  # fmt: skip
        costs[command] = asdict(cost)
        print(f"{command}: {cost.wall_s:.0f} s wall, {cost.cpu_s:.0f} s CPU, "
              f"{cost.peak_memory_mb / 1e3:.2f} GB", flush=True)  # fmt: skip
    total = {name: sum(cost[name] for cost in costs.values()) for name in ("wall_s", "cpu_s")}
    print({name: round(value) for name, value in total.items()})
    found = {"particles": arguments.particles, "latents": LATENTS, "box": BOX,
             "threads": arguments.threads, "commands": costs, "total": total}  # fmt: skip
    write_result(arguments.results, "million", found)


if __name__ == "__main__":
    main()
