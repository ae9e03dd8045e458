"""Turn what the user gives (structures, a trajectory, maps, atoms) into states of one molecule."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.particles import read_map
from cryosway.protein import (
    AtomTable,
    Trajectory,
    find_superposition,
    match_atoms,
    morph_linearly,
    read_structure,
    read_trajectory,
    superpose_ensemble,
)
from cryosway.simulate._options import SimulateOptions
from cryosway.simulate._resample import fit_cube, resample_volume

Source = AtomTable | Trajectory | str | PathLike[str]
Volume = NDArray[np.float32]

_MAP_SUFFIXES = (".mrc", ".map", ".ccp4")
_TRAJECTORY_SUFFIXES = (".dcd",)


@dataclass(frozen=True, eq=False)
class States:
    """The conformations: atoms of each, centred in the box, or a density map of each."""

    atoms: tuple[AtomTable, ...] = ()
    maps: tuple[Volume, ...] = ()

    def __len__(self) -> int:
        return len(self.atoms) or len(self.maps)

    def fingerprint(self) -> str:
        """SHA-256 of all coordinates, weights and voxels."""
        digest = hashlib.sha256()
        for table in self.atoms:
            for array in (table.coordinates, table.atomic_numbers, table.occupancies):
                digest.update(np.ascontiguousarray(array).tobytes())
        for volume in self.maps:
            digest.update(np.ascontiguousarray(volume).tobytes())
        return digest.hexdigest()


def load_states(sources: Source | Sequence[Source], options: SimulateOptions) -> States:
    """Read the sources and make the states of a simulation of them.

    Atoms are centred together: the mean over states of their centre of charge is the origin,
    so that motions between states stay.

    Raises
    ------
    CryoswayError
        If nothing is given, kinds are mixed, or the molecule does not fit into the box.
    """
    single = isinstance(sources, AtomTable | Trajectory | str | PathLike)
    given: list[Source] = [sources] if single else list(sources)  # type: ignore[list-item,arg-type]
    if not given:
        msg = "simulate: no structures are given; give at least one structure, trajectory or map"
        raise CryoswayError(msg)
    kinds = {_kind(source) for source in given}
    if len(kinds) > 1:
        msg = f"simulate: {' and '.join(sorted(kinds))} are mixed; give one kind of input"
        raise CryoswayError(msg)
    kind = kinds.pop()
    if kind == "maps":
        return States(maps=tuple(_load_map(Path(str(path)), options) for path in given))
    if kind == "trajectories":
        tables = _load_trajectory(given, options)
    else:
        tables = _load_structures(given, options)
    centred = _centre(tables)
    _require_fit(centred, options)
    return States(atoms=tuple(centred))


def _kind(source: Source) -> str:
    if isinstance(source, AtomTable):
        return "structures"
    if isinstance(source, Trajectory):
        return "trajectories"
    suffixes = [suffix.lower() for suffix in Path(source).suffixes]
    if any(suffix in _MAP_SUFFIXES for suffix in suffixes):
        return "maps"
    return "trajectories" if suffixes[-1:] == list(_TRAJECTORY_SUFFIXES) else "structures"


def _load_structures(given: Sequence[Source], options: SimulateOptions) -> list[AtomTable]:
    tables = [
        _select(source, options)
        if isinstance(source, AtomTable)
        else read_structure(
            str(source),
            chains=options.chains,
            hydrogens=options.hydrogens,
            ligands=options.ligands,
        )
        for source in given
    ]
    if options.states is not None:
        if len(tables) != 2:
            msg = (
                f"states={options.states} interpolates between two structures, but {len(tables)} "
                "are given; give the two ends, or leave states out"
            )
            raise CryoswayError(msg)
        return morph_linearly(*match_atoms(*tables), options.states)
    if not options.superpose:
        return tables
    return [tables[0], *(_lay_on(table, tables[0]) for table in tables[1:])]


def _select(atoms: AtomTable, options: SimulateOptions) -> AtomTable:
    chosen = atoms if options.chains is None else atoms.select_chains(options.chains)
    return chosen if options.hydrogens else chosen.without_hydrogens()


def _lay_on(mobile: AtomTable, fixed: AtomTable) -> AtomTable:
    a, b = match_atoms(mobile, fixed)
    fit = find_superposition(a.coordinates, b.coordinates)
    return mobile.with_coordinates(fit.apply(mobile.coordinates))


def _load_trajectory(given: Sequence[Source], options: SimulateOptions) -> list[AtomTable]:
    if len(given) > 1:
        msg = f"simulate: {len(given)} trajectories are given; give one"
        raise CryoswayError(msg)
    source = given[0]
    if not isinstance(source, Trajectory):
        if options.topology is None:
            msg = f"{source}: a trajectory needs its topology; give topology='….psf' or a PDB file"
            raise CryoswayError(msg)
        source = read_trajectory(options.topology, str(source), hydrogens=options.hydrogens)
    elif not options.hydrogens:
        source = source.select(~source.atoms.is_hydrogen)
    count = len(source) if options.states is None else min(options.states, len(source))
    frames = np.linspace(0, len(source) - 1, count).round().astype(int)
    coordinates = source.coordinates[frames]
    if options.superpose:
        backbone = np.isin(source.atoms.atom_names, ["CA", "P"])
        coordinates = superpose_ensemble(coordinates, backbone if backbone.sum() > 2 else None)
    return [source.atoms.with_coordinates(frame) for frame in coordinates]


def _centre(tables: Sequence[AtomTable]) -> list[AtomTable]:
    centres = [
        np.average(t.coordinates, axis=0, weights=np.maximum(t.atomic_numbers, 1)) for t in tables
    ]
    middle = np.mean(centres, axis=0)
    return [table.with_coordinates(table.coordinates - middle) for table in tables]


def _require_fit(tables: Sequence[AtomTable], options: SimulateOptions) -> None:
    radius = max(float(np.linalg.norm(table.coordinates, axis=1).max()) for table in tables)
    half = options.box * options.pixel_size / 2
    if radius > half:
        smallest = 2 * int(np.ceil(radius / options.pixel_size))
        msg = (
            f"simulate: atoms lie up to {radius:.0f} Å from the centre but half the box is "
            f"{half:.0f} Å; use a box of at least {smallest} pixels at {options.pixel_size:g} Å "
            "per pixel"
        )
        raise CryoswayError(msg)


def _load_map(path: Path, options: SimulateOptions) -> Volume:
    volume, info = read_map(path)
    if len(set(volume.shape)) > 1 or volume.shape[0] % 2:
        msg = f"{path}: has shape {volume.shape}; expected a cube of even size"
        raise CryoswayError(msg)
    resampled = resample_volume(volume, info.pixel_size / options.pixel_size)
    if resampled is None:
        msg = (
            f"{path}: {info.pixel_size:g} Å per voxel cannot be resampled to "
            f"{options.pixel_size:g} Å within 0.1 %; choose another pixel_size"
        )
        raise CryoswayError(msg)
    return np.ascontiguousarray(fit_cube(resampled, options.box), np.float32)
