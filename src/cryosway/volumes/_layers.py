"""The layers of a coordinate network, with the fewest passes over memory.

A coordinate network is a few matrix products on very many rows; what is done element by element
between them costs nearly as much as they do unless it is done in place.
"""

from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """Precision that the surrounding autocast asks for; none where there is none."""
    on = torch.is_autocast_enabled(device.type)
    return torch.get_autocast_dtype(device.type) if on else None


def affine_relu(x: Tensor, weight: Tensor, bias: Tensor, *, residual: bool) -> Tensor:
    """ReLU([x +] x Wᵀ + b) of n images of P rows.

    Parameters
    ----------
    x
        Shape (n, P, in).
    weight
        Shape (out, in), or (n, out, in): each image its own.
    bias
        Shape (n, 1, out).
    residual
        Whether x is added.
    """
    return _AffineRelu.apply(x, weight, bias, residual)  # type: ignore[no-any-return, no-untyped-call]


def affine_relu_plain(x: Tensor, weight: Tensor, bias: Tensor, *, residual: bool) -> Tensor:
    """Do the same as `affine_relu`, as it is written: its slow truthful twin."""
    product = x @ weight.transpose(-1, -2)
    return torch.relu(product + bias + x if residual else product + bias)


@final
class _AffineRelu(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        residual: bool,  # noqa: FBT001
    ) -> Tensor:
        out = x + bias if residual else bias.expand(-1, x.shape[1], -1).contiguous()
        _add_product(out, x, weight.transpose(-1, -2))
        out.relu_()
        ctx.save_for_backward(x, weight, out)
        ctx.residual = residual
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        x, weight, out = ctx.saved_tensors
        gradient = torch.ops.aten.threshold_backward(gradient, out, 0)
        if weight.ndim == 3:
            by_weight = gradient.transpose(1, 2) @ x
        else:
            by_weight = gradient.flatten(0, 1).T @ x.flatten(0, 1)
        by_bias = gradient.sum(1, keepdim=True)
        by_x = None
        if ctx.needs_input_grad[0]:
            by_x = gradient @ weight
            if ctx.residual:
                by_x += gradient
        return by_x, by_weight, by_bias, None


def _add_product(out: Tensor, x: Tensor, matrix: Tensor) -> None:
    """Add x @ matrix to `out`, in place."""
    if matrix.ndim == 3:
        out.baddbmm_(x, matrix)
    else:
        out.flatten(0, 1).addmm_(x.flatten(0, 1), matrix)
