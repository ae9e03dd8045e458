"""Positional encodings of Fourier coordinates: which waves a coordinate network sees.

Every encoding is a set of wave vectors f; its features are sin(f·x) and cos(f·x) of the
coordinate x in cycles per pixel. A wave vector of 2π r is the transform of a point at r pixels
from the centre, so that the encoding says where in real space the network can easily put density.

The axis-wise ones are those of Zhong et al., ICLR 2020 (geometric series); the Gaussian one is
that of Tancik et al., NeurIPS 2020.
"""

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

Encoding = Literal[
    "gaussian", "geom_ft", "geom_full", "geom_lowf", "geom_nohighf", "linear_lowf", "none"
]
ENCODINGS: tuple[str, ...] = get_args(Encoding)


def _geometric(first: float, last: float, count: int) -> Tensor:
    share = torch.linspace(0, 1, count, dtype=torch.float64)
    return first * (last / first) ** share


_SERIES: dict[str, Callable[[int, int], Tensor]] = {
    "geom_ft": lambda box, count: _geometric(box * math.pi, 2 * math.pi, count),
    "geom_full": lambda box, count: _geometric(box * math.pi, 1.0, count),
    "geom_lowf": lambda box, count: _geometric(box / 2, 1.0, count),
    "geom_nohighf": lambda box, count: _geometric(box / 2, 2 * math.pi, count),
    "linear_lowf": lambda box, count: torch.linspace(1, box / 2, count, dtype=torch.float64),
}


def make_wave_vectors(
    encoding: str, box: int, count: int, sigma: float, generator: torch.Generator | None = None
) -> Tensor:
    """Wave vectors of an encoding, radians per (cycle/pixel).

    Parameters
    ----------
    encoding
        One of `ENCODINGS`; ``none`` has none.
    box
        Image size D, pixels.
    count
        Vectors per axis; the Gaussian encoding draws three times as many in all directions.
    sigma
        Of the Gaussian encoding, in units of D/2.

    Returns
    -------
    Shape (F, 3), float32.

    Examples
    --------
    >>> make_wave_vectors("linear_lowf", 8, 4, 0.5)[:4, 0].tolist()
    [1.0, 2.0, 3.0, 4.0]
    """
    if encoding == "none":
        return torch.zeros(0, 3)
    if encoding == "gaussian":
        drawn = torch.randn(3 * count, 3, generator=generator, dtype=torch.float64)
        return (drawn * sigma * (box // 2)).float()
    series = _SERIES[encoding](box, count)
    return torch.cat([torch.outer(series, axis) for axis in torch.eye(3).double()]).float()
