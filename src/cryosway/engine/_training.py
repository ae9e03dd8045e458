"""What a training is: its plan, what it asks of a method, and what it gives back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from cryosway._errors import CryoswayError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import Tensor, nn

    from cryosway.engine._distributed import ProcessGroup
    from cryosway.engine._job_folder import JobFolder


@dataclass(frozen=True)
class TrainingPlan:
    """How to train, whatever is trained.

    Attributes
    ----------
    epochs : int
        Passes over all items.
    batch_size : int
        Items per step, of all processes together.
    learning_rate : float
        The largest, reached after the warm-up.
    warmup_steps : int
        Steps over which the learning rate grows linearly from near 0.
    decay : {"cosine", "linear", "none"}
        How the learning rate falls until the last step, if it does.
    final_rate : float
        Share of the learning rate to which it falls.
    betas : tuple of float
        Of AdamW: how long its means of the gradient, and of its square, remember.
    weight_decay : float
        Of AdamW, for groups that set none of their own.
    clip_norm : float or None
        Largest norm of the gradient of all parameters but tables trained by rows.
    seed : int
        Of the order of items and of the random numbers in the loss.
    precision : {"auto", "float32", "bf16"}
        Of the matrix products; "auto" takes bf16 where the device has arithmetic for it.
    checkpoint_seconds : float
        Between checkpoints; there is always one at the end of an epoch.
    time_limit_s : float or None
        Since the job began: the training stops, with a checkpoint, before it is reached.
    compile : bool
        Whether `torch.compile` treats the loss.
    metrics_steps : int
        Steps per row of metrics.csv; 0 for one row per epoch only.
    loader_threads : int
        Threads that load batches ahead; 0 loads each when it is needed.
    """

    epochs: int
    batch_size: int
    learning_rate: float = 1e-4
    warmup_steps: int = 0
    decay: Literal["cosine", "linear", "none"] = "cosine"
    final_rate: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip_norm: float | None = None
    seed: int = 0
    precision: Literal["auto", "float32", "bf16"] = "auto"
    checkpoint_seconds: float = 600.0
    time_limit_s: float | None = None
    compile: bool = False
    metrics_steps: int = 0
    loader_threads: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                message = f"{name} must be 1 or more, not {getattr(self, name)}"
                raise CryoswayError(message)


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate and a weight decay.

    Attributes
    ----------
    parameters : sequence of Parameter
        Each parameter of the module belongs to one group, or is not trained.
    lr_scale : float
        Multiplies the plan's learning rate.
    weight_decay : float or None
        None takes the plan's.
    by_rows : bool
        The parameters are tables, shape (N, ...), of which a batch touches a few rows: only these
        rows move, each with moments and a step count of its own (`RowAdam`). Look rows up with
        ``torch.nn.functional.embedding(rows, table, sparse=True)``, so that the gradient holds
        these rows only.
    """

    parameters: "Sequence[nn.Parameter]"
    lr_scale: float = 1.0
    weight_decay: float | None = None
    by_rows: bool = False


@dataclass(frozen=True)
class Losses:
    """The loss of a batch.

    Attributes
    ----------
    total : Tensor
        Scalar, the mean over the batch's items; its gradient is followed.
    logged : Mapping[str, Tensor]
        Scalars for metrics.csv, means over the batch's items too. Leave them on their device: the
        engine fetches many steps' values at once.
    """

    total: "Tensor"
    logged: "Mapping[str, Tensor]" = field(default_factory=dict)


class TrainingStep(Protocol):
    """What a method brings to `train`: its parameters, its batches and its loss."""

    @property
    def module(self) -> "nn.Module":
        """Everything trained, on the device; its `state_dict` is what a checkpoint holds.

        It is put into training mode before each epoch.
        """
        ...

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Give the trained parameters, in an order that a resumed run repeats."""
        ...

    def load(self, rows: "npt.NDArray[np.int64]") -> Any:
        """Load a batch; runs in other threads, in the order of the batches where there is one.

        Tensors in the batch, in dicts, tuples, lists and dataclasses, are moved to the device by
        the engine, so leave them on the CPU here, or have them on the device already.
        """
        ...

    def loss(self, batch: Any, generator: "torch.Generator") -> Losses:
        """Compute the loss of a batch on the device, under autocast where the precision is bf16.

        Sums and logarithms want ``.float()``. All random numbers come from ``generator``, a
        generator of the device that the engine seeds anew for each step: the numbers depend on
        the seed, the step and the process only, and a resumed run draws the same.
        """
        ...

    def begin_epoch(self, epoch: int, progress: float) -> None:
        """Get ready for an epoch, counted from 0; ``progress`` is epoch / epochs.

        The place for schedules: weights of the loss (kept in tensors where the loss is compiled,
        since another number means compiling again), ``requires_grad_`` of what joins later. It is
        called again where a run resumes in mid-epoch.
        """
        ...


@dataclass(frozen=True)
class TrainingResult:
    """How a training went.

    Attributes
    ----------
    steps : int
        Steps taken in all, by earlier attempts too.
    losses : dict[str, float]
        Means over the last epoch: ``loss``, and what the step logged.
    precision : {"float32", "bf16"}
        The one used.
    parts : int
        Parts that a batch was split into to fit into memory; 1 where it fitted.
    items_per_s : float
        Speed of this attempt.
    """

    steps: int
    losses: dict[str, float]
    precision: str
    parts: int
    items_per_s: float


OnEpoch = Callable[[int, dict[str, float]], bool | None]


def train(
    plan: TrainingPlan,
    step: TrainingStep,
    count: int,
    job: "JobFolder | None",
    device: "torch.device",
    *,
    group: "ProcessGroup | None" = None,
    on_epoch: OnEpoch | None = None,
    name: str = "training",
) -> TrainingResult:
    """Train by AdamW, or go on where an earlier attempt stopped.

    The module ends with the trained weights. A run that is killed at any moment and started again
    gives the losses and weights of one that was not, to rounding.

    Parameters
    ----------
    plan : TrainingPlan
        How to train.
    step : TrainingStep
        What to train.
    count : int
        Number of items; rows are 0 … count - 1.
    job : JobFolder or None
        Takes checkpoints, metrics, progress and decisions; None where another process does
        (all but the first of a group).
    device : torch.device
        Where the module is.
    group : ProcessGroup, optional
        The processes that share each batch; see `open_process_group`.
    on_epoch : callable, optional
        Called after each epoch's checkpoint by the process that has the job, with the epoch, from
        0, and its mean losses; once more where a run goes on from there. Training ends where it
        gives True.
    name : str, optional
        Of the checkpoint and the progress, where a job trains several times.

    Returns
    -------
    TrainingResult
        How it went.

    Raises
    ------
    CryoswayError
        When the loss is not finite, or a single item does not fit into memory.
    TimeLimitError
        When the time is up; the job becomes ``interrupted`` and the same command goes on.
    KeyboardInterrupt, Terminated
        On SIGINT and SIGTERM, after a checkpoint.
    """
    from cryosway.engine._trainer import Trainer  # PyTorch takes seconds to import

    return Trainer(plan, step, count, job, device, group=group, name=name).run(on_epoch)
