"""What a training writes while it runs: metrics, progress, the log."""

import math
import time
from typing import NamedTuple, final

import torch
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.engine._hardware import peak_device_memory_bytes, peak_memory_bytes
from cryosway.engine._job_folder import JobFolder
from cryosway.engine._progress import Progress
from cryosway.engine._training import TrainingPlan
from cryosway.engine._training_state import TrainingState


class _Values(NamedTuple):
    """What a step logs, still on its device."""

    step: int
    names: tuple[str, ...]
    values: Tensor
    items: int


@final
class TrainingRecord:
    """Collects the losses of steps and writes their means.

    Parameters
    ----------
    plan : TrainingPlan
        ``epochs``, ``batch_size``, ``learning_rate`` and ``metrics_steps``.
    count : int
        Items of an epoch.
    state : TrainingState
        Holds the sums, so that they are part of each checkpoint.
    job : JobFolder or None
        Where to write; None to look at the losses only.
    """

    def __init__(
        self, plan: TrainingPlan, count: int, state: TrainingState, job: JobFolder | None
    ) -> None:
        self._plan, self._state, self._job = plan, state, job
        self._waiting: list[_Values] = []
        self._rate = plan.learning_rate
        self._items, self._began = 0, time.monotonic()
        self._progress: Progress | None = None
        if job is not None:
            done = state.epoch * count + min(state.batch * plan.batch_size, count)
            self._progress = job.progress(plan.epochs * count, "training", done=done)

    def begin_epoch(self, epoch: int) -> None:
        """Start the clock of an epoch."""
        self._items, self._began = 0, time.monotonic()
        if self._progress is not None:
            self._progress.rename(f"epoch {epoch + 1} of {self._plan.epochs}")

    def add(self, names: tuple[str, ...], values: Tensor, items: int, rate: float) -> None:
        """Take a step's means; they are looked at later, all at once."""
        self._waiting.append(_Values(self._state.step, names, values, items))
        self._items += items
        self._rate = rate
        every = self._plan.metrics_steps
        if every and self._state.step % every == 0:
            self.look()
            self._write_row("steps", self._state.of_row.take())

    def look(self) -> None:
        """Fetch the waiting values from the device, and check that the losses are finite.

        Raises
        ------
        CryoswayError
            When one is not, with its step.
        """
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        fetched = iter(torch.cat([entry.values for entry in waiting]).tolist())
        for step, names, _, items in waiting:
            values = [next(fetched) for _ in names]
            self._check(step, names, values)
            self._state.of_epoch.add(names, values, items)
            if self._plan.metrics_steps:
                self._state.of_row.add(names, values, items)
        if self._progress is not None:
            self._progress.advance(sum(entry.items for entry in waiting))

    def end_epoch(self) -> dict[str, float]:
        """Write the epoch's means, and give them."""
        self.look()
        means = self._state.of_epoch.take()
        self._write_row("epoch", means)
        if self._job is not None:
            said = ", ".join(f"{name} {value:.5g}" for name, value in means.items())
            number = f"epoch {self._state.epoch + 1} of {self._plan.epochs}"
            self._job.log(f"{number}: {said} ({self.items_per_s:.3g} per second)")
        return means

    @property
    def items_per_s(self) -> float:
        """Speed in this epoch."""
        return self._items / max(time.monotonic() - self._began, 1e-9)

    def close(self) -> None:
        """Take the progress away."""
        if self._progress is not None:
            self._progress.close()

    def _check(self, step: int, names: tuple[str, ...], values: list[float]) -> None:
        if math.isfinite(values[0]):
            return
        parts = ", ".join(f"{name} {value:g}" for name, value in zip(names, values, strict=True))
        message = (
            f"the training failed at step {step} of epoch {self._state.epoch + 1}: {parts}; give "
            f"a smaller learning rate than {self._plan.learning_rate:g}, clip the gradient, or "
            "compute in float32; where it fails at step 1, look for bad values in the images"
        )
        raise CryoswayError(message)

    def _write_row(self, over: str, means: dict[str, float]) -> None:
        if self._job is None:
            return
        self._job.metrics(
            over=over,
            epoch=self._state.epoch + 1,
            step=self._state.step,
            **means,
            learning_rate=self._rate,
            items_per_s=round(self.items_per_s, 2),
            memory_bytes=peak_device_memory_bytes() or peak_memory_bytes(),
        )
