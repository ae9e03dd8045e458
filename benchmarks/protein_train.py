"""A small ESM-2 trained from scratch: held-out clusters, masks only, against frequencies alone.

Sequences are 60,000 proteins of UniProt in clusters at 50 % identity (MMseqs2); a share of the
clusters is held out. Perplexity is judged at hidden residues only: under the 80/10/10 corruption of
training, a model that has learnt nothing but to copy would seem to have learnt. Stopped, the same
command goes on. A table of clusters may be given, and is made otherwise.

    python benchmarks/protein_train.py --threads 2
"""

import argparse
from pathlib import Path

from _datasets import find_data
from _measure import make_parser, method_command, write_result

import cryosway as cs
from cryosway.engine import read_json, recall_cost, run_measured

SEQUENCES = "sequences/uniprot2014_go_60k.fasta.gz"


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--size", default="150K")
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--batch-tokens", type=int, default=4_096)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--clusters", type=Path, help="table of clusters (default: by MMseqs2)")
    return parser.parse_args()


def main() -> None:
    """Train, and write the course."""
    arguments = parse_arguments()
    out = arguments.cache / "jobs" / f"protein_train_{arguments.size}_{arguments.steps}"
    options = {
        "size": arguments.size,
        "steps": arguments.steps,
        "batch_tokens": arguments.batch_tokens,
        "crop": arguments.crop,
        "learning_rate": arguments.rate,
        "warmup": 100,
        "held_out": 0.02,
        "validate_every": max(1, arguments.steps // 20),
        "clusters": str(arguments.clusters or "auto"),
        "seed": arguments.seed,
    }
    sequences = find_data(arguments.data) / SEQUENCES
    command = method_command("train", sequences, out, options, arguments.threads)
    command = [*command[:3], "protein", *command[3:-2]]  # a stopped run goes on
    log = out.with_suffix(".log")
    finished = (out / "job.json").exists() and cs.open_job(out).status == "finished"
    cost = recall_cost(log) if finished else run_measured(command, log, arguments.threads)
    course = read_json(out / "validation.json")
    for row in course:
        print(f"step {row['step']:6d}  {row['perplexity']:.3f}  of {row['unigram_perplexity']:.3f}")
    found = cs.open_job(out).info["language_model"]
    write_result(
        arguments.results,
        "protein_train",
        {**found, "options": options, "course": course, "cost": cost},
    )


if __name__ == "__main__":
    main()
