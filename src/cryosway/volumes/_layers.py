"""The layers of a coordinate network, with the fewest passes over memory.

A coordinate network is a few matrix products on very many rows; what is done element by element
between them costs nearly as much as they do. Hence all layers are one function with a gradient of
its own: skip connections are part of the matrices, activations are made in place, and a CPU takes
blocks of rows that its caches hold from one layer to the next.
"""

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Layer = tuple[Tensor, Tensor]  # weight and bias
_ROWS_PER_WIDTH = 16  # in a block: its activations are that much larger than a layer's weights


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """Precision that the surrounding autocast asks for; none where there is none."""
    on = torch.is_autocast_enabled(device.type)
    return torch.get_autocast_dtype(device.type) if on else None


def residual_network(x: Tensor, layers: Sequence[Layer], last: Layer) -> Tensor:
    """H ← ReLU(W h + b), then residual layers h ← ReLU(h + W h + b), then a linear one.

    The precision is that of x. Weights and biases may have a higher one: they are rounded, but
    their gradients are given in theirs, so that those of many blocks of rows add up in it.

    Parameters
    ----------
    x
        Shape (n, P, in), n images of P rows.
    layers
        Weights (width, in) and biases (width,); or each image its own, (n, width, in) and
        (n, 1, width). At least one layer.
    last
        Weight (outputs, width) and bias (outputs,).

    Returns
    -------
    Shape (n, P, outputs).
    """
    tensors = (_drop_single(tensor) for layer in (last, *layers) for tensor in layer)
    return _ResidualNetwork.apply(x, *tensors)  # type: ignore[no-any-return, no-untyped-call]


def residual_network_plain(x: Tensor, layers: Sequence[Layer], last: Layer) -> Tensor:
    """Do the same as `residual_network`, as it is written: its slow truthful twin."""
    for number, (weight, bias) in enumerate(layers):
        change = x @ weight.transpose(-1, -2) + bias
        x = torch.relu(x + change if number else change)
    return x @ last[0].T + last[1]


def _drop_single(tensor: Tensor) -> Tensor:
    """Where there is one image, what is its own is the same for all."""
    return tensor.squeeze(0) if tensor.ndim == 3 and len(tensor) == 1 else tensor


@final
class _ResidualNetwork(torch.autograd.Function):
    """Takes x, then weight and bias of the last layer, of the first, and so on."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *tensors: Tensor) -> Tensor:
        weights, biases = tensors[::2], tensors[1::2]
        matrices, hidden = [weights[0].to(x.dtype)], [x]
        for number, (weight, bias) in enumerate(zip(weights[1:], biases[1:], strict=True)):
            matrices.append(_add_skip(weight, x.dtype) if number else weight.to(x.dtype))
            hidden.append(_rectified(hidden[-1], matrices[-1], bias))
        ctx.save_for_backward(*matrices, *hidden)
        ctx.like = [(tensor.shape, tensor.dtype) for tensor in tensors]
        return _affine(hidden[-1], matrices[0], biases[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        count = len(ctx.saved_tensors) // 2
        matrices, hidden = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        found = [*_by_layer(gradient, hidden[-1], *ctx.like[:2])]
        by_layers: list[Tensor] = []
        gradient = gradient @ matrices[0]
        for number in range(count - 1, 0, -1):
            _silence(gradient, hidden[number])
            like = ctx.like[2 * number : 2 * number + 2]
            by_layers = [*_by_layer(gradient, hidden[number - 1], *like), *by_layers]
            if number > 1 or ctx.needs_input_grad[0]:
                gradient = gradient @ matrices[number]
        return gradient if ctx.needs_input_grad[0] else None, *found, *by_layers


def _add_skip(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Give 1 + W: one product does what a product and a sum would."""
    matrix = weight.to(dtype, copy=True)
    matrix.diagonal(dim1=-2, dim2=-1).add_(1)
    return matrix


def _affine(x: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
    """W x + b for x (n, P, in)."""
    bias = bias.to(x.dtype)
    if matrix.ndim == 3:
        return torch.baddbmm(bias, x, matrix.transpose(1, 2))
    if bias.ndim == 3:
        bias = bias.expand(-1, x.shape[1], -1).flatten(0, 1)
    return torch.addmm(bias, x.flatten(0, 1), matrix.T).view(*x.shape[:2], len(matrix))


def _rectified(x: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
    """ReLU(W x + b) for x (n, P, in)."""
    bf16_on_cpu = x.dtype == torch.bfloat16 and x.device.type == "cpu"
    if matrix.ndim == 2 and bias.ndim == 1 and bf16_on_cpu and _has_fused_product():
        # Sum and ReLU while the product is still in the registers: a tenth off its time.
        rows, bias = x.flatten(0, 1), bias.to(x.dtype)
        found: Tensor = torch.ops.mkldnn._linear_pointwise(rows, matrix, bias, "relu", [], "")
        return found.view(*x.shape[:2], len(matrix))
    found = _affine(x, matrix, bias)
    _bits(found).relu_()
    return found


@functools.cache
def _has_fused_product() -> bool:
    """Whether oneDNN multiplies bf16 here; torch calls the same operator where it compiles."""
    has = hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return has and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


_Like = tuple[torch.Size, torch.dtype]


def _by_layer(gradient: Tensor, x: Tensor, weight: _Like, bias: _Like) -> tuple[Tensor, Tensor]:
    """Gradients of weight and bias of W x + b, in their shape and precision."""
    if len(weight[0]) == 3:
        by_weight = gradient.transpose(1, 2) @ x
    else:
        by_weight = gradient.flatten(0, 1).T @ x.flatten(0, 1)
    by_bias = gradient.sum(1) if len(bias[0]) == 3 else gradient.sum((0, 1))
    return by_weight.to(weight[1]), by_bias.view(bias[0]).to(bias[1])


def _silence(gradient: Tensor, out: Tensor) -> None:
    """Set to zero, in place, the gradient of what a ReLU made zero in `out`."""
    kept = _bits(gradient)
    torch.ops.aten.threshold_backward.grad_input(kept, _bits(out), 0, grad_input=kept)


def _bits(x: Tensor) -> Tensor:
    """Integers of the same signs and zeros, which a CPU compares several times faster than bf16."""
    return x.view(torch.int16) if x.dtype == torch.bfloat16 and x.device.type == "cpu" else x


def split_rows(
    points: Tensor, layers: Sequence[Layer]
) -> Iterator[tuple[tuple[Tensor, ...], list[Layer]]]:
    """Cut points into blocks that the caches of a CPU hold; a GPU takes all at once.

    Parameters
    ----------
    points
        Shape (n, P, 3).
    layers
        Of these n images.

    Yields
    ------
    blocks
        Points of m images, each block (m, some of the P, 3).
    layers
        Of these m images.
    """
    if points.device.type != "cpu":
        yield (points,), list(layers)
        return
    width = layers[0][1].shape[-1]
    rows = _ROWS_PER_WIDTH * width * torch.get_num_threads()
    count = max(1, points.shape[1])
    together = max(1, rows // count)
    for images, *own in zip(
        torch.split(points, together),
        *(_split_layer(layer, together) for layer in layers),
        strict=False,
    ):
        yield images.tensor_split(-(-count // rows), dim=1), own


def _split_layer(layer: Layer, together: int) -> Iterator[Layer]:
    """Give the layer of every so many images."""
    weight, bias = (
        torch.split(tensor, together) if tensor.ndim == 3 else itertools.repeat(tensor)
        for tensor in layer
    )
    return zip(weight, bias, strict=False)
