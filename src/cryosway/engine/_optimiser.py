"""AdamW for networks and `RowAdam` for tables, behind one step."""

import math
from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.engine._row_adam import RowAdam
from cryosway.engine._sharding import cut_like
from cryosway.engine._training import ParameterGroup, TrainingPlan


def learning_rate_at(plan: TrainingPlan, step: int, total: int) -> float:
    """Give the learning rate of a step: linear warm-up, then the plan's decay.

    Parameters
    ----------
    plan : TrainingPlan
        ``learning_rate``, ``warmup_steps``, ``decay`` and ``final_rate``.
    step, total : int
        The step, from 0, and how many there are.

    Returns
    -------
    float
        More than 0.

    Examples
    --------
    >>> plan = TrainingPlan(epochs=1, batch_size=1, learning_rate=1.0, warmup_steps=4)
    >>> [round(learning_rate_at(plan, step, 12), 2) for step in (0, 3, 4, 8, 11)]
    [0.25, 1.0, 1.0, 0.5, 0.04]
    """
    if step < plan.warmup_steps:
        return plan.learning_rate * (step + 1) / plan.warmup_steps
    if plan.decay == "none":
        return plan.learning_rate
    share = (step - plan.warmup_steps) / max(1, total - plan.warmup_steps)
    left = 1 - share if plan.decay == "linear" else 0.5 * (1 + math.cos(math.pi * share))
    return plan.learning_rate * (plan.final_rate + (1 - plan.final_rate) * left)


@final
class Optimiser:
    """Moves all parameters of the groups.

    Parameters
    ----------
    groups : sequence of ParameterGroup
        What is trained.
    plan : TrainingPlan
        ``weight_decay``, ``betas`` and ``clip_norm``.

    Attributes
    ----------
    parameters : list of Parameter
        Those of networks.
    tables : list of Parameter
        Those trained by rows.
    """

    def __init__(self, groups: Sequence[ParameterGroup], plan: TrainingPlan) -> None:
        self._plan = plan
        dense = [group for group in groups if not group.by_rows]
        self._row_groups = [group for group in groups if group.by_rows]
        self.parameters = [parameter for group in dense for parameter in group.parameters]
        self.tables = [table for group in self._row_groups for table in group.parameters]
        _check_groups([*self.parameters, *self.tables])
        groups_of_adam = _adam_groups(dense, plan)
        adam = torch.optim.AdamW(groups_of_adam, betas=plan.betas, fused=True) if dense else None
        self._adam = adam
        self._by_rows = [RowAdam(list(group.parameters)) for group in self._row_groups]

    def step(self, learning_rate: float) -> None:
        """Clip the gradients, move the parameters and forget the gradients."""
        if self._plan.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self._plan.clip_norm)
        if self._adam is not None:
            for group in self._adam.param_groups:
                group["lr"] = learning_rate * group["lr_scale"]
            self._adam.step()
        for rows, given in zip(self._by_rows, self._row_groups, strict=True):
            rows.step(learning_rate * given.lr_scale, _decay_of(given, self._plan))
        self.forget()

    def forget(self) -> None:
        """Let go of the gradients."""
        for parameter in (*self.parameters, *self.tables):
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """Give all moments and step counts by name; parameters that never moved have none."""
        tensors = {
            f"adam.{number}.{name}": tensor
            for number, parameter in enumerate(self.parameters)
            for name, tensor in (self._adam.state[parameter].items() if self._adam else ())
        }
        for number, rows in enumerate(self._by_rows):
            tensors |= {f"rows.{number}.{name}": value for name, value in rows.state().items()}
        return tensors

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `state` gave."""
        if self._adam is not None:
            moments: dict[int, dict[str, Tensor]] = {}
            for path, tensor in below("adam.", tensors).items():
                index, _, name = path.partition(".")
                piece = cut_like(tensor, self.parameters[int(index)])
                moments.setdefault(int(index), {})[name] = piece
            self._adam.load_state_dict({**self._adam.state_dict(), "state": moments})
        for number, rows in enumerate(self._by_rows):
            rows.load_state(below(f"rows.{number}.", tensors))


def _adam_groups(groups: Sequence[ParameterGroup], plan: TrainingPlan) -> list[dict[str, Any]]:
    return [
        {
            "params": list(group.parameters),
            "lr_scale": group.lr_scale,
            "weight_decay": _decay_of(group, plan),
        }
        for group in groups
    ]


def _decay_of(group: ParameterGroup, plan: TrainingPlan) -> float:
    return plan.weight_decay if group.weight_decay is None else group.weight_decay


def below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors whose names begin with the prefix, under the rest of their names."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _check_groups(parameters: Sequence[Tensor]) -> None:
    if not parameters or len({id(parameter) for parameter in parameters}) < len(parameters):
        message = "each trained parameter must be in one group, and there must be one at least"
        raise CryoswayError(message)
