"""What every part of a validation gives: numbers, sentences, columns and pictures."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@final
@dataclass(frozen=True, eq=False)
class Picture:
    """A figure with its file's name (without .png) and its caption."""

    name: str
    figure: "Figure"
    caption: str


@final
@dataclass(frozen=True, eq=False)
class Finding:
    """The outcome of one part.

    Attributes
    ----------
    verdict
        In a few words.
    sentences
        In full, with the numbers.
    found
        The numbers, for ``validation.json``.
    columns
        Of ``particles.parquet``, shape (N,).
    pictures
        For the report.
    """

    verdict: str
    sentences: list[str]
    found: dict[str, Any]
    columns: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)
