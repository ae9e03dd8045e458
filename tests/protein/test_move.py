import gemmi
import numpy as np
from scipy.spatial.transform import Rotation

from cryosway.protein import move_structure, read_structure


def test_all_that_a_file_holds_moves_along(pdb_file, tmp_path):
    rotation = Rotation.from_rotvec([0.3, -1.0, 0.2]).as_matrix()
    shift = np.array([10.0, 20.0, -5.0])
    path = tmp_path / "moved.cif"
    move_structure(pdb_file, path, rotation, shift)
    wanted = read_structure(pdb_file, hydrogens=True, waters=True)
    found = read_structure(path, hydrogens=True, waters=True)
    assert found.atom_names.tolist() == wanted.atom_names.tolist()
    np.testing.assert_allclose(
        found.coordinates, wanted.coordinates @ rotation.T + shift, atol=2e-3
    )
    whole = gemmi.read_structure(str(path))
    assert [model.count_atom_sites() for model in whole] == [8, 1]  # both conformations, model 2
