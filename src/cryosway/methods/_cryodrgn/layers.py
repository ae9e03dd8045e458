"""Multilayer perceptrons in cryoDRGN's weights, as plain matrices."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Weights = Mapping[str, npt.NDArray[np.float32]]
Layer = tuple[Tensor, Tensor]


def read_layers(weights: Weights, prefix: str) -> list[Layer]:
    """Give matrix and bias of every layer below a name, in order; a skip is part of its matrix.

    cryoDRGN's residual layers are x + W x + b before the activation, that is (1 + W) x + b.
    """
    found: dict[int, Layer] = {}
    for name in weights:
        if name.startswith(prefix) and name.endswith(".weight"):
            number, *kind = name.removeprefix(prefix).removesuffix(".weight").split(".")
            matrix = torch.tensor(weights[name])
            bias = torch.tensor(weights[name.removesuffix("weight") + "bias"])
            found[int(number)] = (add_skip(matrix, 1.0 if kind == ["linear"] else 0.0), bias)
    return [found[number] for number in sorted(found)]


def add_skip(matrix: Tensor, amount: float) -> Tensor:
    """Add the skip connection of a residual layer to its matrix."""
    return matrix + amount * torch.eye(*matrix.shape) if amount else matrix
