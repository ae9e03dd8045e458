"""The gradient of a batch, in as many parts as fit into memory."""

import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway._errors import CryoswayError, CryoswayWarning
from cryosway.engine._loader import move_batch, pin_batch
from cryosway.engine._precision import autocast
from cryosway.engine._training import Losses, TrainingStep

Rows = npt.NDArray[np.int64]

_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "defaultcpuallocator",
    "cublas_status_alloc_failed",
)


@final
@dataclass(frozen=True)
class LoadedBatch:
    """A process's share of a batch.

    Attributes
    ----------
    rows : ndarray, shape (n,), int64
        Its rows.
    parts : list
        What the step has loaded for them, one entry for each part.
    weight : float
        Of this share in means over the batch of all processes.
    items : int
        Rows of the batch of all processes.
    """

    rows: Rows
    parts: list[Any]
    weight: float
    items: int


@final
class GradientComputer:
    """Loads batches and computes gradients of their mean loss.

    Parameters
    ----------
    step : TrainingStep
        Loads, and computes the loss.
    device : torch.device
        Where.
    precision : {"float32", "bf16"}
        Of matrix products.
    compile : bool, optional
        Whether to compile the loss.

    Attributes
    ----------
    parts : int
        Parts that a batch is split into; grows where memory does not suffice.
    """

    def __init__(
        self, step: TrainingStep, device: torch.device, precision: str, *, compile: bool = False
    ) -> None:
        self.parts = 1
        self._step, self._device, self._precision = step, device, precision
        self._generator = torch.Generator(device)
        self._compiled = compile
        self._loss: Callable[[Any, torch.Generator], Losses] = (
            torch.compile(step.loss) if compile else step.loss
        )

    def load(self, rows: Rows, weight: float, items: int) -> LoadedBatch:
        """Load a share in its parts; see `LoadedBatch` for the arguments."""
        loaded = [self._step.load(part) for part in _split(rows, self.parts)]
        if self._device.type == "cuda":
            loaded = [pin_batch(batch) for batch in loaded]
        return LoadedBatch(rows, loaded, weight, items)

    def compute(self, batch: LoadedBatch, seed: int) -> tuple[tuple[str, ...], Tensor]:
        """Add the gradient of the share's mean loss to the parameters.

        Parameters
        ----------
        batch : LoadedBatch
            The share.
        seed : int
            Of the loss's random numbers.

        Returns
        -------
        names : tuple of str
            "loss", and what the step logs.
        values : Tensor
            Their means over the share, on the device.

        Raises
        ------
        CryoswayError
            When a part of a single item does not fit into memory.
        """
        while True:
            if len(batch.parts) < min(self.parts, len(batch.rows)):  # loaded before memory ran out
                batch = self.load(batch.rows, batch.weight, batch.items)
            try:
                return self._accumulate(batch, seed)
            except (RuntimeError, MemoryError) as error:
                self._mend(error, len(batch.rows))
            self._step.module.zero_grad()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def _accumulate(self, batch: LoadedBatch, seed: int) -> tuple[tuple[str, ...], Tensor]:
        self._generator.manual_seed(seed)
        names: tuple[str, ...] = ()
        sums: Tensor | None = None
        for rows, part in zip(_split(batch.rows, len(batch.parts)), batch.parts, strict=True):
            with autocast(self._precision, self._device):
                losses = self._loss(move_batch(part, self._device), self._generator)
            share = len(rows) / len(batch.rows)
            torch.autograd.backward(losses.total if share == 1 else losses.total * share)
            names = ("loss", *losses.logged)
            values = _stack(losses).mul_(share)
            sums = values if sums is None else sums.add_(values)
        assert sums is not None
        return names, sums

    def _mend(self, error: Exception, count: int) -> None:
        """Prepare for another try, or raise where there is none."""
        if self._compiled and isinstance(error, torch._dynamo.exc.TorchDynamoException):
            self._compiled, self._loss = False, self._step.loss
            message = f"the loss is not compiled, which makes it slower ({_first_line(error)})"
            warnings.warn(message, CryoswayWarning, stacklevel=4)
            return
        if not is_out_of_memory(error):
            raise error
        if self.parts >= count:
            message = (
                f"a single item needs more memory than {self._device} has "
                f"({_first_line(error)}); take a smaller model or smaller images"
            )
            raise CryoswayError(message) from None
        self.parts = min(2 * self.parts, count)
        message = (
            f"a batch does not fit into the memory of {self._device}: it is treated in "
            f"{self.parts} parts, with the same result; a batch size of "
            f"{-(-count // self.parts)} would fit"
        )
        warnings.warn(message, CryoswayWarning, stacklevel=4)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception says that memory, of the GPU or the machine, did not suffice."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in said for phrase in _OUT_OF_MEMORY)


def _split(rows: Rows, parts: int) -> list[Rows]:
    return np.array_split(rows, min(parts, len(rows)))


def _stack(losses: Losses) -> Tensor:
    values = [losses.total, *losses.logged.values()]
    dtype = torch.promote_types(losses.total.dtype, torch.float32)
    return torch.stack([value.detach().to(dtype) for value in values])


def _first_line(error: Exception) -> str:
    with suppress(IndexError):
        return str(error).strip().splitlines()[0]
    return type(error).__name__
