"""Move a structure file as a whole."""

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
    motion = gemmi.Transform(gemmi.Mat33(rotation.tolist()), gemmi.Vec3(*translation.tolist()))
    for model in structure:
        model.transform_pos_and_adp(motion)
    structure.cell = gemmi.UnitCell()  # a crystal's cell would not fit the new place
    structure.spacegroup_hm = ""
    structure.setup_entities()
    structure.make_mmcif_document().write_file(str(path))
