"""The training loop: steps, checkpoints, polite ends."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import final

import torch
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.engine._distributed import ProcessGroup
from cryosway.engine._gradient import GradientComputer, LoadedBatch, Rows
from cryosway.engine._hardware import keep_freed_memory
from cryosway.engine._interrupts import Terminated, TimeLimitError, hold_interrupts
from cryosway.engine._job_folder import JobFolder
from cryosway.engine._loader import prefetch, split_epoch
from cryosway.engine._optimiser import Optimiser, below, learning_rate_at
from cryosway.engine._precision import choose_precision
from cryosway.engine._progress import format_duration
from cryosway.engine._sharding import gather, is_sharded, load_whole
from cryosway.engine._training import OnEpoch, TrainingPlan, TrainingResult, TrainingStep
from cryosway.engine._training_record import TrainingRecord
from cryosway.engine._training_state import TrainingState, seed_of_step

_LOOK_SECONDS = 1.0  # between looks at the losses, for which a GPU has to be waited for
_AGREE_STEPS = 16  # between agreements of several processes


@final
class Trainer:
    """A training under way; see `train` for the parameters."""

    def __init__(
        self,
        plan: TrainingPlan,
        step: TrainingStep,
        count: int,
        job: JobFolder | None,
        device: torch.device,
        *,
        group: ProcessGroup | None = None,
        name: str = "training",
    ) -> None:
        self._plan, self._step, self._count = plan, step, count
        self._job, self._group, self._name = job, group, name
        self._optimiser = Optimiser(step.parameter_groups(), plan)
        self._sharded = any(map(is_sharded, self._optimiser.parameters))
        if device.type == "cpu":
            keep_freed_memory()
        self.precision = choose_precision(plan.precision, device)
        self._gradient = GradientComputer(step, device, self.precision, compile=plan.compile)
        self._state = self._restore()
        self._record = TrainingRecord(plan, count, self._state, job)
        self._total = plan.epochs * -(-count // plan.batch_size)
        self._looked = self._saved = time.monotonic()
        self._reserve = 0.0  # seconds that stopping takes
        self._stop = ""
        self._signals: list[int] = []

    def run(self, on_epoch: OnEpoch | None) -> TrainingResult:
        """Train to the end, or raise at a polite stop."""
        state = self._state
        if self._job is not None and state.step:
            epochs = f"epoch {state.epoch + 1} of {self._plan.epochs}"
            self._job.log(f"{self._name} goes on after step {state.step}, {epochs}")
        self._note_precision()
        with closing(self._record), hold_interrupts(once=True) as self._signals:
            # A run may have ended before it told of its last epoch.
            ended = bool(state.losses) and state.batch == 0 and self._tell(on_epoch)
            while state.epoch < self._plan.epochs and not self._stop and not ended:
                self._train_epoch()
                if not self._stop:
                    ended = self._end_epoch(on_epoch)
        if self._stop:
            self._raise_stop()
        return TrainingResult(
            steps=state.step,
            losses=state.losses,
            precision=self.precision,
            parts=state.parts,
            items_per_s=self._record.items_per_s,
        )

    # -- steps ---------------------------------------------------------------------------------

    def _train_epoch(self) -> None:
        state, plan = self._state, self._plan
        self._step.module.train()
        self._step.begin_epoch(state.epoch, state.epoch / plan.epochs)
        self._record.begin_epoch(state.epoch)
        batches = split_epoch(self._count, plan.batch_size, plan.seed, state.epoch, state.batch)
        loaded = prefetch(
            lambda share: self._gradient.load(*share),
            self._shares(batches),
            threads=plan.loader_threads,
        )
        with closing(loaded):
            for batch in loaded:
                self._take_step(batch)
                self._see_to_duties()
                if self._stop:
                    return

    def _shares(self, batches: Iterator[Rows]) -> Iterator[tuple[Rows, float, int]]:
        """Give this process's rows of each batch, their weight, and the size of the batch."""
        for rows in batches:
            mine, weight = (rows, 1.0) if self._group is None else self._group.share_rows(rows)
            self._require_equal_shares(weight)
            yield mine, weight, len(rows)

    def _require_equal_shares(self, weight: float) -> None:
        """Refuse unequal shares of a batch where gradients are averaged over the processes."""
        if self._sharded and self._group is not None and round(1 / weight) != self._group.size:
            message = (
                f"weights are cut into a piece for each of {self._group.size} processes, which "
                "must have equal shares of every batch; give a batch size that they divide"
            )
            raise CryoswayError(message)

    def _take_step(self, batch: LoadedBatch) -> None:
        state = self._state
        rank = 0 if self._group is None else self._group.rank
        seed = seed_of_step(self._plan.seed, state.step, rank)
        parts = self._gradient.parts
        names, values = self._gradient.compute(batch, seed)
        if self._gradient.parts > parts:
            self._note_parts()
        self._add_up(values, batch.weight)
        rate = learning_rate_at(self._plan, state.step, self._total)
        self._optimiser.step(rate)
        state.step += 1
        state.batch += 1
        self._record.add(names, values, batch.items, rate)

    def _add_up(self, values: Tensor, weight: float) -> None:
        """Sum gradients and logged values over the processes."""
        if self._group is None:
            return
        found = (parameter.grad for parameter in self._optimiser.parameters)
        gradients = [grad for grad in found if grad is not None and not is_sharded(grad)]
        self._group.add_up([*gradients, values], weight)
        for table in self._optimiser.tables:
            if table.requires_grad:
                self._group.gather_rows(table, weight)

    def _end_epoch(self, on_epoch: OnEpoch | None) -> bool:
        """Save, and tell of the epoch; give whether training ends with it."""
        state = self._state
        state.losses = self._record.end_epoch()
        state.epoch += 1
        state.batch = 0
        self._save()
        return self._tell(on_epoch)

    def _tell(self, on_epoch: OnEpoch | None) -> bool:
        """Tell of the last epoch; give whether training ends with it, for all processes."""
        state = self._state
        ended = False
        if on_epoch is not None and self._job is not None:
            ended = bool(on_epoch(state.epoch - 1, state.losses))
        return ended if self._group is None else self._group.any((ended,))[0]

    # -- duties between steps ------------------------------------------------------------------

    def _see_to_duties(self) -> None:
        """Look at the losses, save and stop, each when it is due."""
        if self._group is not None and self._state.step % _AGREE_STEPS:
            return
        now = time.monotonic()
        late = self._is_late(now - self._looked)
        due = (
            bool(self._signals),
            late,
            now - self._saved > self._plan.checkpoint_seconds,
            now - self._looked > _LOOK_SECONDS,
        )
        signalled, late, save, look = due if self._group is None else self._group.any(due)
        self._stop = "signal" if signalled else "time" if late else ""
        if self._stop or save:
            self._save()
        elif look:
            self._record.look()
        if self._stop or save or look:
            self._looked = time.monotonic()

    def _is_late(self, interval: float) -> bool:
        limit = self._plan.time_limit_s
        if limit is None or self._job is None:
            return False
        return self._job.elapsed_s + interval + 2 * self._reserve >= limit

    def _raise_stop(self) -> None:
        """Tell why the training stops; a signal to this very process has raised already."""
        if self._stop == "signal":
            raise Terminated(128 + 15)
        state = self._state
        message = (
            f"the time limit of {format_duration(self._plan.time_limit_s or 0)} is reached at step "
            f"{state.step} of {self._total} (epoch {state.epoch + 1}); the same command goes on "
            "from there"
        )
        if self._job is not None:
            self._job.log(message)
        raise TimeLimitError(message)

    # -- decisions -----------------------------------------------------------------------------

    def _note_precision(self) -> None:
        if self._job is not None and self._plan.precision == "auto":
            has = "has" if self.precision == "bf16" else "has no"
            why = f"the device {has} arithmetic for bf16"
            self._job.decide(f"precision of {self._name}", self.precision, why)

    def _note_parts(self) -> None:
        if self._job is not None:
            why = "a whole batch does not fit into memory; the result is the same"
            self._job.decide(f"parts of a batch of {self._name}", self._gradient.parts, why)

    # -- checkpoints ---------------------------------------------------------------------------

    def _save(self) -> None:
        self._record.look()
        self._state.parts = self._gradient.parts
        began = time.monotonic()
        tensors = self._tensors() if self._sharded or self._job is not None else {}
        if self._job is not None:
            _check_finite(tensors)
            self._job.save_checkpoint(self._name, tensors, self._state.to_meta())
            self._reserve = time.monotonic() - began
        self._saved = time.monotonic()

    def _restore(self) -> TrainingState:
        """Take up the checkpoint where there is one; all processes begin like the first."""
        found = None if self._job is None else self._job.load_checkpoint(self._name)
        if self._group is not None:
            here = {name: tensor.cpu() for name, tensor in self._tensors().items()}
            found = self._group.tell_all(found or (here, TrainingState().to_meta()))
        if found is None:
            return TrainingState()
        tensors, meta = found
        load_whole(self._step.module, below("module.", tensors))
        self._optimiser.load_state(below("optimiser.", tensors))
        state = TrainingState.from_meta(meta)
        self._gradient.parts = state.parts
        return state

    def _tensors(self) -> dict[str, Tensor]:
        """Give weights and moments, whole; where they are cut, all processes have to ask."""
        module, moments = self._step.module.state_dict(), self._optimiser.state()
        if self._sharded:
            module, moments = gather(module), gather(moments)
        return {
            **{f"module.{name}": tensor for name, tensor in module.items()},
            **{f"optimiser.{name}": tensor for name, tensor in moments.items()},
        }


def _check_finite(tensors: dict[str, Tensor]) -> None:
    """Refuse to replace a good checkpoint by one that no training can go on from."""
    sums = [tensor.sum() for tensor in tensors.values() if tensor.is_floating_point()]
    if not all(bool(value.isfinite()) for value in sums):
        message = (
            "the weights are no longer finite after this step; give a smaller learning rate, clip "
            "the gradient, or compute in float32; the last checkpoint is kept"
        )
        raise CryoswayError(message)
