"""A small training that a test kills: python training_job.py FOLDER SECONDS_PER_STEP.

A perceptron learns y = sin(x) from noisy numbers, with random numbers in its loss, and a table
learns an offset for each row.
"""

import sys
import time
from pathlib import Path

import torch
from torch import nn

from cryosway.engine import JobFolder, Losses, ParameterGroup, TrainingPlan, train

COUNT = 90
PLAN = TrainingPlan(
    epochs=4,
    batch_size=8,
    learning_rate=3e-3,
    warmup_steps=5,
    weight_decay=0.01,
    clip_norm=1.0,
    seed=3,
    precision="float32",
    checkpoint_seconds=0.1,
    metrics_steps=5,
)


class SineStep:
    """Learns a sine; see the module's docstring."""

    def __init__(self, *, noise=0.1, seconds=0.0, dtype=torch.float32):
        torch.manual_seed(0)
        self.module = nn.Module()
        self.module.network = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
        self.module.offsets = nn.Parameter(torch.zeros(COUNT, 1))
        self.module.to(dtype)
        self.x = torch.linspace(-3, 3, COUNT, dtype=dtype)[:, None]
        self.y = self.x.sin() + 0.3 * (torch.arange(COUNT)[:, None] % 2)
        self.noise, self.seconds = noise, seconds
        self.epochs = []

    def parameter_groups(self):
        return [
            ParameterGroup(list(self.module.network.parameters())),
            ParameterGroup([self.module.offsets], lr_scale=10, by_rows=True, weight_decay=0),
        ]

    def load(self, rows):
        rows = torch.from_numpy(rows)
        return {"rows": rows, "x": self.x[rows], "y": self.y[rows]}

    def loss(self, batch, generator):
        time.sleep(self.seconds)
        x = batch["x"]
        if self.noise:
            x = x + self.noise * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        offsets = nn.functional.embedding(batch["rows"], self.module.offsets, sparse=True)
        residual = self.module.network(x) + offsets - batch["y"]
        loss = residual.square().mean()
        return Losses(loss, {"largest": residual.detach().abs().amax(1).mean()})

    def begin_epoch(self, epoch, progress):
        self.epochs.append((epoch, progress))


def main(folder: Path, seconds: float) -> None:
    torch.set_num_threads(1)
    step = SineStep(seconds=seconds)
    with JobFolder.start(folder, "sine", {"seed": 3}) as job:
        train(PLAN, step, COUNT, job, torch.device("cpu"))
        job.save_checkpoint("result", step.module.state_dict())


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
