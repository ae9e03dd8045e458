"""A small staged job that a test kills: python staged_job.py FOLDER SECONDS_PER_STEP.

It walks a seeded random walk in two stages and writes the end point into answer.json.
"""

import sys
import time
from pathlib import Path

import numpy as np

from cryosway.engine import JobFolder, write_json

STEPS = 20


def walk(job: JobFolder, stage: str, start: np.ndarray, seconds: float) -> np.ndarray:
    rng = np.random.default_rng(len(stage))
    position, first = start, 0
    if found := job.load_checkpoint(stage):
        tensors, meta = found
        position, first = tensors["position"], meta["step"]
        rng.bit_generator.state = meta["rng"]
    for step in range(first, STEPS):
        position = 0.9 * position + rng.normal(size=3)
        job.metrics(stage=stage, step=step, x=position[0])
        time.sleep(seconds)
        state = {"step": step + 1, "rng": rng.bit_generator.state}
        job.save_checkpoint(stage, {"position": position}, state)
    return position


def main(folder: Path, seconds: float) -> None:
    with JobFolder.start(folder, "walk", {"steps": STEPS, "seed": 0}) as job:
        if job.already_finished:
            return
        with job.stage("first"):
            position = walk(job, "first", np.zeros(3), seconds)
        with job.stage("second"):
            position = walk(job, "second", position, seconds)
        write_json(folder / "answer.json", position)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
