"""Read trajectories: a topology (PSF, PDB, mmCIF) and a DCD file."""

import gzip
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.protein._atoms import AtomTable
from cryosway.protein._read import read_structure

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Atoms and their coordinates in every frame, shape (F, N, 3), Å."""

    atoms: AtomTable
    coordinates: FloatArray

    def __len__(self) -> int:
        return len(self.coordinates)

    def frame(self, index: int) -> AtomTable:
        """Give the atoms of one frame."""
        return self.atoms.with_coordinates(self.coordinates[index])

    def select(self, mask: NDArray[np.bool_]) -> "Trajectory":
        """Keep the atoms where the mask, shape (N,), is True."""
        return Trajectory(self.atoms[mask], self.coordinates[:, mask])

    def frames(self, indices: Sequence[int]) -> list[AtomTable]:
        """Give the atoms of several frames."""
        return [self.frame(index) for index in indices]


def read_trajectory(
    topology: str | PathLike[str], trajectory: str | PathLike[str], *, hydrogens: bool = False
) -> Trajectory:
    """Read a DCD trajectory with its topology.

    Parameters
    ----------
    topology
        PSF (also gzipped), PDB or mmCIF with the same atoms in the same order.
    trajectory
        DCD file. Frames that the header announces but the file lacks are not missed.
    hydrogens
        Whether to keep hydrogens.

    Raises
    ------
    CryoswayError
        If biotite is not installed, a file cannot be read, or the atom counts differ.
    """
    atoms = _read_topology(Path(topology))
    coordinates = _read_dcd(Path(trajectory))
    if coordinates.shape[1] != len(atoms):
        msg = (
            f"{trajectory} has {coordinates.shape[1]} atoms but {topology} has {len(atoms)}; "
            "give the topology that the trajectory was made with"
        )
        raise CryoswayError(msg)
    whole = Trajectory(atoms, coordinates)
    return whole if hydrogens else whole.select(~atoms.is_hydrogen)


def _read_topology(path: Path) -> AtomTable:
    if not path.is_file():
        msg = f"{path}: no such topology file; give a PSF, PDB or mmCIF file"
        raise CryoswayError(msg)
    if ".psf" in path.suffixes:
        return _read_psf(path)
    return read_structure(path, hydrogens=True, waters=True)


def _read_dcd(path: Path) -> FloatArray:
    if not path.is_file():
        msg = f"{path}: no such trajectory file; give a DCD file"
        raise CryoswayError(msg)
    try:
        reader = importlib.import_module("biotite.structure.io.dcd").DCDFile
    except ImportError as error:
        msg = "reading DCD trajectories needs biotite; install it with: pip install biotite"
        raise CryoswayError(msg) from error
    try:
        frames = reader.read(str(path)).get_coord()
    except Exception as error:  # the library raises many kinds for a broken file
        msg = f"{path}: cannot be read as a DCD trajectory ({error}); check the file"
        raise CryoswayError(msg) from error
    return np.asarray(frames, np.float64)


def _read_psf(path: Path) -> AtomTable:
    """Read the atom section of an X-PLOR or CHARMM PSF: names from it, elements from masses."""
    raw = path.read_bytes()
    content = gzip.decompress(raw) if path.suffix == ".gz" else raw
    lines = content.decode("utf-8", errors="replace").splitlines()
    start = next((i for i, line in enumerate(lines) if "!NATOM" in line), None)
    if start is None:
        msg = f"{path}: has no !NATOM section; give a CHARMM or X-PLOR PSF file"
        raise CryoswayError(msg)
    count = int(lines[start].split()[0])
    fields = [line.split() for line in lines[start + 1 : start + 1 + count]]
    short = next((i for i, row in enumerate(fields) if len(row) < 8), None)
    if short is not None or len(fields) < count:
        row = len(fields) if short is None else short
        msg = f"{path} line {start + 2 + row}: expected the 8 columns of an atom of a PSF file"
        raise CryoswayError(msg)
    elements = [_find_element_by_mass(float(row[7])) for row in fields]
    return AtomTable(
        coordinates=np.zeros((count, 3)),
        elements=np.array([element.name for element in elements], dtype="U2"),
        atomic_numbers=np.array([element.atomic_number for element in elements], np.int16),
        chains=np.array([row[1] for row in fields], dtype="U8"),
        residue_names=np.array([row[3] for row in fields], dtype="U8"),
        residue_numbers=np.array([int(row[2]) for row in fields], np.int32),
        insertion_codes=np.full(count, "", dtype="U1"),
        atom_names=np.array([row[4] for row in fields], dtype="U8"),
        occupancies=np.ones(count),
        b_factors=np.zeros(count),
    )


_ELEMENTS_BY_MASS = [gemmi.Element(number) for number in range(1, 55)]


def _find_element_by_mass(mass: float) -> gemmi.Element:
    return min(_ELEMENTS_BY_MASS, key=lambda element: abs(element.weight - mass))
