"""Pictures on their way into the page and into the folder ``figures/``."""

from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from cryosway.engine import write_atomically
from cryosway.report._style import figure_png


@dataclass(frozen=True)
class Pictures:
    """Where the report's pictures are kept beside the page.

    Attributes
    ----------
    folder : Path
        The folder ``figures/``.
    """

    folder: Path

    def save(self, name: str, drawn: Figure) -> bytes:
        """Write a figure as ``NAME.png`` and give its bytes."""
        return self.keep(f"{name}.png", figure_png(drawn))

    def keep(self, name: str, data: bytes) -> bytes:
        """Write an encoded picture under its name and give it back."""
        _write(self.folder / name, data)
        return data


def write_figure(path: Path, drawn: Figure) -> None:
    """Write a figure as PNG, whole or not at all; its folder is made where it is missing."""
    _write(path, figure_png(drawn))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as temporary:
        temporary.write_bytes(data)
