"""Adam for large tables of which a batch touches a few rows."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor


@final
class RowAdam:
    """Adam whose moments and step count are kept per row, and move with the row only.

    Ordinary Adam moves every row at every step by its old moments, though its images were not
    seen. Here a row that is not in the batch stays, and its bias correction counts its own steps.

    Parameters
    ----------
    tables : sequence of Tensor
        Shape (N, ...), with gradients that are sparse over the first axis (as of
        ``embedding(rows, table, sparse=True)``); a dense gradient counts where it is not 0.
    betas : tuple of float, optional
        Decay of the two moments.
    eps : float, optional
        Added to the root of the second.

    Examples
    --------
    >>> table = torch.zeros(3, 2, requires_grad=True)
    >>> optimiser = RowAdam([table])
    >>> torch.nn.functional.embedding(torch.tensor([1]), table, sparse=True).sum().backward()
    >>> optimiser.step(0.5)
    >>> table.detach()
    tensor([[ 0.0000,  0.0000],
            [-0.5000, -0.5000],
            [ 0.0000,  0.0000]])
    """

    def __init__(
        self,
        tables: Sequence[Tensor],
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        self._tables, self._betas, self._eps = list(tables), betas, eps
        self._moments = [_RowMoments(table) for table in self._tables]

    @torch.no_grad()
    def step(self, learning_rate: float, weight_decay: float = 0.0) -> None:
        """Move the rows that have a gradient.

        Parameters
        ----------
        learning_rate : float
            The size of a step.
        weight_decay : float, optional
            The rows that move also shrink by ``learning_rate * weight_decay`` of themselves.
        """
        for table, moments in zip(self._tables, self._moments, strict=True):
            if table.grad is None:
                continue
            rows, values = split_rows(table.grad)
            change = moments.update(rows, values, self._betas, self._eps)
            kept = table[rows] * (1 - learning_rate * weight_decay)
            table.index_copy_(0, rows, kept - learning_rate * change)

    def state(self) -> dict[str, Tensor]:
        """Give the moments and step counts by name."""
        return {
            f"{number}.{name}": tensor
            for number, moments in enumerate(self._moments)
            for name, tensor in moments.state().items()
        }

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take up the moments and step counts that `state` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(tensors[name])


@final
class _RowMoments:
    """Mean and square of the gradient of each row, and how often it has moved."""

    def __init__(self, table: Tensor) -> None:
        self.mean, self.square = torch.zeros_like(table), torch.zeros_like(table)
        self.count = table.new_zeros((len(table),) + (1,) * (table.dim() - 1))
        self._sum = torch.zeros_like(table)

    def state(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "square": self.square, "count": self.count}

    def update(
        self, rows: Tensor, values: Tensor, betas: tuple[float, float], eps: float
    ) -> Tensor:
        """Update the rows' moments; return how the rows are to change, per learning rate.

        A row may come several times: its values are added up in a table of zeros, and all its
        entries then compute, and store, the same. So no device has to be asked what is unique.
        """
        gradient = self._sum.index_add_(0, rows, values)[rows]
        self._sum.index_fill_(0, rows, 0)
        count = self.count[rows] + 1
        mean = self.mean[rows].lerp_(gradient, 1 - betas[0])
        square = self.square[rows].mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
        for stored, new in ((self.count, count), (self.mean, mean), (self.square, square)):
            stored.index_copy_(0, rows, new)
        root = (square / (1 - betas[1] ** count)).sqrt_().add_(eps)
        return mean / (1 - betas[0] ** count) / root


def split_rows(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Give the rows that a gradient holds, with repetitions, and their values."""
    if gradient.is_sparse:
        return gradient._indices()[0], gradient._values()
    rows = gradient.flatten(1).any(1).nonzero()[:, 0]
    return rows, gradient[rows]
