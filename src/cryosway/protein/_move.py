"""Move structure files as a whole, and assemble moved copies of them."""

from collections.abc import Sequence
from os import PathLike

import gemmi
import numpy as np
from numpy.typing import NDArray

from cryosway.protein._read import read_models

FloatArray = NDArray[np.float64]


def move_structure(
    source: str | PathLike[str],
    path: str | PathLike[str],
    rotation: FloatArray,
    translation: FloatArray,
) -> None:
    """Write a structure with all that its file holds, x ↦ rotation · x + translation.

    All models, alternative conformations, waters and anisotropic B factors move along.

    Parameters
    ----------
    source
        mmCIF or PDB, also gzipped.
    path
        mmCIF to write.
    rotation, translation
        Shapes (3, 3) and (3,), Å.
    """
    structure = read_models(source)
    for model in structure:
        model.transform_pos_and_adp(_make_transform(rotation, translation))
    structure.cell = gemmi.UnitCell()  # a crystal's cell would not fit the new place
    structure.spacegroup_hm = ""
    structure.setup_entities()
    structure.make_mmcif_document().write_file(str(path))


def assemble_structures(
    parts: Sequence[tuple[str | PathLike[str], FloatArray, FloatArray]], path: str | PathLike[str]
) -> list[list[str]]:
    """Write the first models of structure files, each moved, as one model.

    A chain keeps its name where no chain before has it, else it gets a free one.

    Parameters
    ----------
    parts
        File, rotation (3, 3) and translation (3,), Å, of every part; a file may come repeatedly.
    path
        mmCIF to write.

    Returns
    -------
    The names of each part's chains in the order of its file.
    """
    joined = gemmi.Model(1)
    names = []
    for source, rotation, translation in parts:
        structure = read_models(source)
        structure.merge_chain_parts()
        model = structure[0]
        model.transform_pos_and_adp(_make_transform(rotation, translation))
        names.append([joined.add_chain(chain, unique_name=True).name for chain in model])
    structure = gemmi.Structure()
    structure.add_model(joined)
    structure.setup_entities()
    structure.make_mmcif_document().write_file(str(path))
    return names


def _make_transform(rotation: FloatArray, translation: FloatArray) -> gemmi.Transform:
    return gemmi.Transform(gemmi.Mat33(rotation.tolist()), gemmi.Vec3(*translation.tolist()))
