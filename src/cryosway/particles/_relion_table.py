"""The particle table of a RELION STAR file, with the optics of each particle looked up."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from cryosway._errors import CryoswayError
from cryosway.particles._star import StarBlock, read_numbers, read_star

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

IMAGE_NAME = "rlnImageName"


class ParticleTable:
    """The particle block of a STAR file with the optics of its particles looked up.

    Attributes
    ----------
    path : Path
        The file.
    blocks : tuple of StarBlock
        All of its blocks.
    place, optics_place : int, int or None
        Which of them holds the particles, which the optics (None in RELION 3.0).
    block, optics : StarBlock, StarBlock or None
        These two.
    groups : numpy.ndarray or None
        Shape (N,), optics group of each particle.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.blocks = tuple(read_star(path))
        self.place = _find_particle_block(self.blocks, path)
        self.block = self.blocks[self.place]
        self.optics_place = _find_optics_block(self.blocks)
        self.optics = None if self.optics_place is None else self.blocks[self.optics_place]
        self.groups, self._optics_row = self._match_optics()

    def __len__(self) -> int:
        return len(self.block)

    def _match_optics(self) -> tuple[IntArray | None, IntArray | None]:
        """Find the optics group of each particle and its row in the optics block."""
        if self.optics is None:
            return None, None
        known = read_numbers(self.optics, "rlnOpticsGroup", self.path).astype(np.int64)
        if "rlnOpticsGroup" not in self.block:
            if len(known) != 1:
                message = (
                    f"{self.path.name} has {len(known)} optics groups but its particles do not say "
                    "theirs; add the column rlnOpticsGroup"
                )
                raise CryoswayError(message)
            return np.full(len(self.block), known[0]), np.zeros(len(self.block), np.int64)
        groups = read_numbers(self.block, "rlnOpticsGroup", self.path)
        order = np.argsort(known, kind="stable")
        found = np.searchsorted(known[order], groups).clip(max=len(known) - 1)
        row = order[found]
        unknown = known[row] != groups
        if unknown.any():
            first = int(np.flatnonzero(unknown)[0])
            message = (
                f"{self.path.name} row {first + 1}: optics group {groups[first]:.0f} is not in the "
                f"optics table (which has {', '.join(map(str, known))}); add it or correct the row"
            )
            raise CryoswayError(message)
        return known[row], row

    def find(self, label: str) -> FloatArray | None:
        """Values of a label per particle: of the optics table, else of the particle table."""
        if self.optics is not None and label in self.optics:
            return read_numbers(self.optics, label, self.path)[self._optics_row]
        return read_numbers(self.block, label, self.path) if label in self.block else None

    def find_texts(self, label: str) -> list[str]:
        """Distinct texts of a label among the particles, wherever it stands."""
        if self.optics is not None and label in self.optics:
            assert self._optics_row is not None
            return self.optics.take(np.unique(self._optics_row)).strings(label)
        return pc.unique(self.block.columns[label]).to_pylist() if label in self.block else []


def _find_particle_block(blocks: tuple[StarBlock, ...], path: Path) -> int:
    holding = [
        i for i, block in enumerate(blocks) if IMAGE_NAME in block and block.name != "optics"
    ]
    if not holding:
        message = (
            f"{path.name} has no table with {IMAGE_NAME}, so it lists no particle images; "
            "give a particles file such as run_data.star"
        )
        raise CryoswayError(message)
    best = max(holding, key=lambda i: (blocks[i].name == "particles", len(blocks[i])))
    if len(blocks[best]) == 0:
        raise CryoswayError(f"{path.name} lists no particles; give a file that has some")
    return best


def _find_optics_block(blocks: tuple[StarBlock, ...]) -> int | None:
    for i, block in enumerate(blocks):
        if block.name == "optics" and "rlnOpticsGroup" in block and len(block):
            return i
    return None
