"""Several processes that share each batch, started by torchrun or srun."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.engine._console import LOGGER
from cryosway.engine._hardware import select_device
from cryosway.engine._interrupts import terminate_as_exception
from cryosway.engine._job_folder import JobFolder
from cryosway.engine._row_adam import split_rows

_PATIENCE = timedelta(hours=12)  # the others wait while the first process prepares


@final
@dataclass(frozen=True)
class ProcessGroup:
    """The processes of this run; `open_process_group` makes it.

    Attributes
    ----------
    rank : int
        Number of this process, from 0; the first writes the job folder.
    size : int
        How many there are.
    device : torch.device
        Where this process computes.
    """

    rank: int
    size: int
    device: torch.device

    def share_rows(self, rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], float]:
        """Give this process's part of a batch, and its weight in means over the batch.

        The weights of all processes add up to 1. A batch with fewer rows than there are processes
        is treated by all of them, so that none is without.
        """
        if len(rows) < self.size:
            return rows, 1 / self.size
        mine = np.array_split(rows, self.size)[self.rank]
        return mine, len(mine) / len(rows)

    def add_up(self, tensors: Sequence[Tensor], weight: float) -> None:
        """Replace each tensor by the weighted sum over processes, all in one message."""
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors]).mul_(weight)
        dist.all_reduce(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def gather_rows(self, table: Tensor, weight: float) -> None:
        """Replace the gradient of a table by the weighted sum over processes, as sparse rows."""
        rows, values = _rows_of(table)
        counts = torch.zeros(self.size, dtype=torch.int64)
        counts[self.rank] = len(rows)
        dist.all_reduce(counts)
        all_rows = _gather(rows, counts.tolist())
        all_values = _gather(values * weight, counts.tolist())
        table.grad = torch.sparse_coo_tensor(
            all_rows[None], all_values, table.shape, check_invariants=False
        )

    def any(self, flags: Sequence[bool]) -> list[bool]:
        """Tell for each flag whether any process raises it."""
        raised = torch.tensor([int(flag) for flag in flags])
        dist.all_reduce(raised)
        return [bool(value) for value in raised]

    def tell_all(self, value: Any) -> Any:
        """Give every process what the first one gives: plain values, and tensors on the CPU."""
        told = [value]
        dist.broadcast_object_list(told, src=0, device=torch.device("cpu"))
        return told[0]


@contextmanager
def open_process_group(device: str = "auto") -> Iterator[ProcessGroup | None]:
    """Join the processes that torchrun or srun has started.

    Parameters
    ----------
    device : str, optional
        "auto", "cpu" or "cuda"; each process of a machine takes a GPU of its own.

    Yields
    ------
    ProcessGroup or None
        None in a process that was started alone.

    Raises
    ------
    CryoswayError
        When there are fewer GPUs than processes on this machine.
    """
    place = find_place(os.environ)
    if place is None:
        yield None
        return
    chosen = _choose_device(device, int(place["LOCAL_RANK"]))
    LOGGER.info("process %(RANK)s waits for all %(WORLD_SIZE)s", place)
    dist.init_process_group(
        "gloo" if chosen.type == "cpu" else "cpu:gloo,cuda:nccl",
        init_method=f"tcp://{place['MASTER_ADDR']}:{place['MASTER_PORT']}",
        rank=int(place["RANK"]),
        world_size=int(place["WORLD_SIZE"]),
        timeout=_PATIENCE,
    )
    try:
        with terminate_as_exception():
            yield ProcessGroup(dist.get_rank(), dist.get_world_size(), chosen)
    finally:
        dist.destroy_process_group()


@contextmanager
def share_job(
    group: ProcessGroup | None, job: AbstractContextManager[JobFolder]
) -> Iterator[JobFolder | None]:
    """Start a job in the first process, for all of them.

    Parameters
    ----------
    group : ProcessGroup or None
        The processes; None for one alone.
    job : context manager
        What `JobFolder.start` gives; entered by the first process only.

    Yields
    ------
    JobFolder or None
        None in the other processes, which are to write nothing.

    Raises
    ------
    CryoswayError
        In all processes where the job cannot be started.
    """
    if group is not None and group.rank > 0:
        if problem := group.tell_all(None):
            raise CryoswayError(problem)
        yield None
        return
    with ExitStack() as stack:
        problem = ""
        try:
            started = stack.enter_context(job)
        except CryoswayError as error:
            problem = str(error)
            raise
        finally:
            if group is not None:
                group.tell_all(problem)
        yield started


def find_place(environment: Mapping[str, str]) -> dict[str, str] | None:
    """Find this process's place among others, in the words of torchrun.

    Parameters
    ----------
    environment : Mapping[str, str]
        With the variables of torchrun, or of a step of srun.

    Returns
    -------
    dict[str, str] or None
        RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT; None for a process alone.

    Examples
    --------
    >>> find_place({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"})  # a batch script without srun
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        place = {
            "RANK": environment["RANK"],
            "LOCAL_RANK": environment.get("LOCAL_RANK", environment["RANK"]),
            "WORLD_SIZE": environment["WORLD_SIZE"],
            "MASTER_ADDR": environment.get("MASTER_ADDR", "localhost"),
            "MASTER_PORT": environment.get("MASTER_PORT", "29500"),
        }
    elif "SLURM_STEP_NUM_TASKS" in environment:
        port = 20000 + int(environment.get("SLURM_JOB_ID", "0")) % 20000
        place = {
            "RANK": environment["SLURM_PROCID"],
            "LOCAL_RANK": environment["SLURM_LOCALID"],
            "WORLD_SIZE": environment["SLURM_STEP_NUM_TASKS"],
            "MASTER_ADDR": environment.get("MASTER_ADDR") or _first_host(environment),
            "MASTER_PORT": environment.get("MASTER_PORT", str(port)),
        }
    else:
        return None
    return place if int(place["WORLD_SIZE"]) > 1 else None


def _first_host(environment: Mapping[str, str]) -> str:
    """Name the first machine of a step of srun."""
    if environment.get("SLURM_STEP_NUM_NODES") == "1":
        return "localhost"
    hosts = environment["SLURM_STEP_NODELIST"]
    try:
        found = subprocess.run(
            ["scontrol", "show", "hostnames", hosts], check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        message = f"the first machine of {hosts} cannot be found out; set MASTER_ADDR to its name"
        raise CryoswayError(message) from None
    return found.stdout.split()[0]


def _choose_device(name: str, local_rank: int) -> torch.device:
    device = select_device(name)
    if device.type != "cuda":
        return device
    visible = torch.cuda.device_count()
    if visible == 1:  # srun --gpus-per-task=1 shows each process its own only
        local_rank = 0
    if local_rank >= visible:
        message = (
            f"process {local_rank + 1} of this machine finds {visible} GPUs; start one process "
            "per GPU, or give --device cpu"
        )
        raise CryoswayError(message)
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def _rows_of(table: Tensor) -> tuple[Tensor, Tensor]:
    if table.grad is None:
        return torch.zeros(0, dtype=torch.int64, device=table.device), table.new_zeros(
            (0, *table.shape[1:])
        )
    return split_rows(table.grad)


def _gather(tensor: Tensor, counts: Sequence[int]) -> Tensor:
    """Join the first ``counts`` entries of each process; the tensors have the same length."""
    longest = max(counts)
    padded = tensor.new_zeros((longest, *tensor.shape[1:]))
    padded[: len(tensor)] = tensor
    gathered = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(gathered, padded)
    return torch.cat([part[:count] for part, count in zip(gathered, counts, strict=True)])
