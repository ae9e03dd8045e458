"""Throughput of `cryosway protein embed` and of transformers called naively, on a CPU.

Both read the same FASTA with a model of the 8M size (random weights, in the published layout). The
naive way is what a first script does: the tokenizer of transformers and its network, one sequence
after the other, in the order of the file, float32. Ours reads, sorts, computes and writes files;
the naive one is not charged for writing. Speed is the slope between a small and a large set, so
that imports and loading do not count. Each runs in a process of its own.

    CRYOSWAY_BENCH_DATA=/folder python benchmarks/protein_embed.py --threads 2
"""

import argparse
import random
import sys
from pathlib import Path

import numpy as np
from _datasets import find_data
from _measure import make_parser, write_result

from cryosway.engine import run_measured

SEQUENCES = "sequences/swissprot_5000.fasta.gz"
NAIVE = """
import sys
import torch
from transformers import EsmModel, EsmTokenizer
from cryosway.protein import read_sequences
fasta, folder, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
model = EsmModel.from_pretrained(folder, add_pooling_layer=False).eval()
tokenizer = EsmTokenizer.from_pretrained(folder)
for record in read_sequences(fasta):
    inputs = tokenizer(record.sequence, return_tensors="pt")
    with torch.no_grad():
        states = model(**inputs).last_hidden_state[0, 1:-1]
    states.numpy(), states.mean(0).numpy()
"""


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--size", default="8M")
    parser.add_argument("--sequences", type=int, nargs=2, default=(32, 544))
    parser.add_argument("--longest", type=int, default=1022)
    parser.add_argument("--precisions", nargs="+", default=("auto", "float32"))
    return parser.parse_args()


def write_samples(arguments: argparse.Namespace) -> list[tuple[Path, int, int]]:
    """Write a small and a large random sample of real sequences: (path, sequences, residues)."""
    from cryosway.protein import stream_fasta

    source = find_data(arguments.data) / SEQUENCES
    records = [r for r in stream_fasta(source) if len(r) <= arguments.longest]
    random.Random(arguments.seed).shuffle(records)
    samples = []
    for count in arguments.sequences:
        path = arguments.cache / f"protein_embed_{count}.fasta"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f">{r.name}\n{r.sequence}\n" for r in records[:count]))
        samples.append((path, count, sum(len(r) for r in records[:count])))
    return samples


def write_model(arguments: argparse.Namespace) -> Path:
    """Write a checkpoint of the size, with random weights."""
    from cryosway.protein.language import SIZES, build_config, build_network, write_checkpoint

    folder = arguments.cache / f"protein_embed_{arguments.size}"
    config = build_config(SIZES[arguments.size], 1024)
    write_checkpoint(folder, build_network(config, np.full(33, 1 / 33), 0), config)
    return folder


def list_ways(arguments: argparse.Namespace, model: Path, fasta: Path) -> dict[str, list[str]]:
    """Give the commands that are compared, by name."""
    threads = str(arguments.threads)
    out = arguments.cache / "jobs" / fasta.stem
    ways = {"naive": [sys.executable, "-W", "ignore", "-c", NAIVE, str(fasta), str(model), threads]}
    for precision in arguments.precisions:
        ways[precision] = [
            *(sys.executable, "-m", "cryosway.cli", "protein", "embed", str(fasta)),
            *("--checkpoint", str(model), "--out", f"{out}_{precision}", "--precision", precision),
            *("--threads", threads, "--device", "cpu", "--no-resume", "--overwrite"),
        ]
    return ways


def main() -> None:
    """Measure, print and write."""
    arguments = parse_arguments()
    arguments.threads = arguments.threads or 2
    samples, model = write_samples(arguments), write_model(arguments)
    costs: dict[str, list] = {}
    for path, count, _ in samples:
        for name, command in list_ways(arguments, model, path).items():
            log = arguments.cache / f"protein_embed_{name}_{count}.log"
            costs.setdefault(name, []).append(run_measured(command, log, arguments.threads))
    sequences, residues = (samples[1][n] - samples[0][n] for n in (1, 2))
    rows = {}
    for name, (small, large) in costs.items():
        wall, cpu = large.wall_s - small.wall_s, large.cpu_s - small.cpu_s
        rows[name] = {
            "wall_s": wall,
            "cpu_s": cpu,
            "sequences_per_s": sequences / wall,
            "residues_per_s": residues / wall,
            "residues_per_cpu_s": residues / cpu,
            "whole_runs": [small, large],
        }
    for name, row in rows.items():
        row["faster"] = rows["naive"]["wall_s"] / row["wall_s"]
        row["less_cpu"] = rows["naive"]["cpu_s"] / row["cpu_s"]
        print(
            f"{name:8s} {row['sequences_per_s']:8.1f} sequences/s {row['residues_per_s']:9.0f} "
            f"residues/s; {row['residues_per_cpu_s']:8.0f} residues per CPU s; "
            f"{row['faster']:.2f} x as fast, {row['less_cpu']:.2f} x less CPU"
        )
    shape = {"sequences": sequences, "residues": residues, "threads": arguments.threads}
    write_result(
        arguments.results, "protein_embed", {**shape, "size": arguments.size, "ways": rows}
    )


if __name__ == "__main__":
    main()
