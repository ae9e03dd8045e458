"""The states of the benchmark's sets, built from what the package brings along."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from cryosway._errors import CryoswayError
from cryosway.protein import AtomTable, read_structure
from cryosway.simulate._adenylate_kinase import LID, adenylate_kinase_states, select_ranges
from cryosway.simulate._assembly import ASSEMBLY_BLOCKS, ASSEMBLY_STATES, list_assembly_states
from cryosway.simulate._helix_bundles import make_helix_bundle
from cryosway.simulate._hinge import align_axes, list_hinge_states, turn_arm

FloatArray = NDArray[np.float64]
Bools = NDArray[np.bool_]

_NEAREST, _STEP = 36.0, 2.0  # Å from the core's centre to a block's, at least; tried next
_LINKER, _BOND = 5, 3.8  # residues; Å
_CLASH = 4.0  # Å
_SIDE_BY_SIDE = np.array([47.0, 0.0, 6.0])  # Å from one half of the body to the other
_STRUCTURES = (".cif", ".pdb", ".cif.gz", ".pdb.gz", ".ent", ".ent.gz")


@dataclass(frozen=True, eq=False)
class BenchmarkStates:
    """The states of a set, and what is known of each.

    Attributes
    ----------
    atoms
        Of every state, in one frame.
    table
        A row per state: ``state``, ``share`` where shares differ, and its true latent.
    model
        What `structural` may start from, in the same frame; None where there is no one molecule.
    part
        Shape (len(model),): the part of it that moves most, or is missing in most states.
    """

    atoms: list[AtomTable]
    table: pd.DataFrame
    model: AtomTable | None = None
    part: Bools | None = None

    @property
    def radius(self) -> float:
        """Distance of the outermost atom from the common centre, Å."""
        return max(float(np.linalg.norm(one.coordinates, axis=1).max()) for one in self.atoms)


def build_benchmark_states(
    kind: str, count: int | None = None, *, seed: int = 0, structures: Path | None = None
) -> BenchmarkStates:
    """Build the states of a kind of set.

    Parameters
    ----------
    kind
        hinge (an arm of 24 kDa turns full circle on a body of 48 kDa), linker (the same arm on a
        random chain of five residues), assembly (sixteen states of a core and six blocks, very
        unequally populated), unrelated (many structures that have nothing to do with each other)
        or kinase (adenylate kinase from closed to open).
    count
        Number of states; by default 100, of kinase 25. An assembly has sixteen.
    seed
        Of linkers and of made-up structures.
    structures
        Folder of mmCIF or PDB files to take unrelated structures from; else bundles of helices are
        made up.

    Raises
    ------
    CryoswayError
        If the folder has too few structures.
    """
    found = _BUILDERS[kind](count, seed, structures)
    return _centre(found)


def _centre(found: BenchmarkStates) -> BenchmarkStates:
    """Put the mean over states of the centre of charge at the origin, as `simulate` does."""
    middle = np.mean(
        [np.average(a.coordinates, axis=0, weights=a.atomic_numbers) for a in found.atoms], axis=0
    )
    atoms = [one.with_coordinates(one.coordinates - middle) for one in found.atoms]
    model = found.model
    moved = None if model is None else model.with_coordinates(model.coordinates - middle)
    return replace(found, atoms=atoms, model=moved)


def _build_kinase(count: int | None, seed: int, structures: Path | None) -> BenchmarkStates:
    del seed, structures
    atoms = adenylate_kinase_states(count or 25)
    number = np.arange(len(atoms))
    table = pd.DataFrame({"state": number, "coordinate": number / (len(atoms) - 1)})
    return BenchmarkStates(atoms, table, atoms[len(atoms) // 2], select_ranges(atoms[0], LID))


def _make_body_and_arm() -> tuple[AtomTable, AtomTable]:
    """Two open kinases side by side, and a closed one for an arm."""
    closed, opened = adenylate_kinase_states(2)
    first = align_axes(opened.coordinates, longest="z")
    second = Rotation.from_euler("z", 75, degrees=True).apply(first) + _SIDE_BY_SIDE
    body = [_name(opened.with_coordinates(x), c) for x, c in ((first, "A"), (second, "B"))]
    return AtomTable.concatenate(body), _name(closed, "C")


def _name(atoms: AtomTable, chain: str) -> AtomTable:
    return replace(atoms, chains=np.full(len(atoms), chain))


def _build_hinge(count: int | None, seed: int, structures: Path | None) -> BenchmarkStates:
    del seed, structures
    body, arm = _make_body_and_arm()
    atoms = turn_arm(body, [arm], count or 100)
    return BenchmarkStates(
        atoms, list_hinge_states(len(atoms)), atoms[0], np.asarray(atoms[0].chains == "C")
    )


def _build_linker(count: int | None, seed: int, structures: Path | None) -> BenchmarkStates:
    del structures
    body, arm = _make_body_and_arm()
    fixed = body.with_coordinates(align_axes(body.coordinates, longest="z"))
    free = align_axes(arm.coordinates, longest="z")
    free = free - [0.0, 0.0, free[:, 2].min()]  # it hangs on its end
    whole = AtomTable.concatenate([fixed, arm])
    anchor = fixed.coordinates[fixed.coordinates[:, 2].argmax()]
    tree = cKDTree(fixed.coordinates)
    rng = np.random.default_rng(seed)
    atoms: list[AtomTable] = []
    points = []
    while len(atoms) < (count or 100):
        steps = rng.normal(size=(_LINKER, 3))
        end = anchor + _BOND * (steps / np.linalg.norm(steps, axis=1, keepdims=True)).sum(axis=0)
        turn = Rotation.random(random_state=rng)
        placed = turn.apply(free) + end
        if np.min(tree.query(placed)[0]) < _CLASH:
            continue
        atoms.append(whole.with_coordinates(np.concatenate([fixed.coordinates, placed])))
        points.append([*placed.mean(axis=0), *(end + turn.apply([0.0, 0.0, free[:, 2].max()]))])
    names = ("centre_x", "centre_y", "centre_z", "tip_x", "tip_y", "tip_z")
    table = pd.DataFrame(np.array(points), columns=list(names))  # Å: where the arm is
    table.insert(0, "state", range(len(atoms)))
    return BenchmarkStates(atoms, table, atoms[0], np.asarray(whole.chains == "C"))


def _build_assembly(count: int | None, seed: int, structures: Path | None) -> BenchmarkStates:
    del structures
    if count not in (None, len(ASSEMBLY_STATES)):
        msg = f"an assembly has {len(ASSEMBLY_STATES)} states, not {count}; leave their number out"
        raise CryoswayError(msg)
    closed, opened = adenylate_kinase_states(2)
    core = _name(opened.with_coordinates(align_axes(opened.coordinates, longest="z")), "A")
    directions = np.concatenate([np.eye(3), -np.eye(3)])
    turns = Rotation.random(len(directions), random_state=np.random.default_rng(seed))
    lid, half = select_ranges(closed, LID), closed.residue_numbers < 118
    blocks: dict[str, AtomTable] = {}
    for number, letter in enumerate(ASSEMBLY_BLOCKS):
        # Blocks are of unequal size: whole, without the LID, and for the stalks a half.
        part = closed[half] if letter.isdigit() else closed[~lid] if number % 2 else closed
        there = np.concatenate([one.coordinates for one in (core, *blocks.values())])
        turned = turns[number].apply(part.coordinates - part.coordinates.mean(axis=0))
        placed = _push_out(turned, directions[number], cKDTree(there))
        blocks[letter] = _name(part.with_coordinates(placed), "BCDEFG"[number])
    atoms = [
        AtomTable.concatenate([core, *(blocks[letter] for letter in letters)])
        for letters in ASSEMBLY_STATES
    ]
    whole = AtomTable.concatenate([core, *blocks.values()])
    return BenchmarkStates(atoms, list_assembly_states(), whole, np.asarray(whole.chains == "C"))


def _push_out(block: FloatArray, direction: FloatArray, others: cKDTree) -> FloatArray:
    """Move a block along a direction until it touches nothing."""
    distance = _NEAREST
    while np.min(others.query(block + distance * direction)[0]) < _CLASH:
        distance += _STEP
    return np.asarray(block + distance * direction)


def _build_unrelated(count: int | None, seed: int, structures: Path | None) -> BenchmarkStates:
    number = count or 100
    if structures is None:
        atoms = [make_helix_bundle(seed * 10_007 + place) for place in range(number)]
    else:
        atoms = _read_structures(structures, number)
    centred = [
        one.with_coordinates(
            one.coordinates - np.average(one.coordinates, axis=0, weights=one.atomic_numbers)
        )
        for one in atoms
    ]
    table = pd.DataFrame(np.eye(number), columns=[f"structure_{i}" for i in range(number)])
    table.insert(0, "state", range(number))
    return BenchmarkStates(centred, table)


def _read_structures(folder: Path, number: int) -> list[AtomTable]:
    paths = sorted(path for path in folder.iterdir() if path.name.lower().endswith(_STRUCTURES))
    if len(paths) < number:
        msg = (
            f"{folder} has {len(paths)} structures but {number} are asked for; add mmCIF or PDB "
            "files or ask for fewer states"
        )
        raise CryoswayError(msg)
    return [read_structure(path, ligands=False) for path in paths[:number]]


_Builder = Callable[[int | None, int, Path | None], BenchmarkStates]
_BUILDERS: dict[str, _Builder] = {
    "hinge": _build_hinge,
    "linker": _build_linker,
    "assembly": _build_assembly,
    "unrelated": _build_unrelated,
    "kinase": _build_kinase,
}
#: Kinds of sets, as CryoBench has them, and adenylate kinase.
BENCHMARK_KINDS: Sequence[str] = tuple(_BUILDERS)
