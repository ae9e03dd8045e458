import numpy as np
import pytest

from cryosway import CryoswayError
from cryosway.protein import read_trajectory

dcd = pytest.importorskip("biotite.structure.io.dcd")

PSF = """\
PSF

       1 !NTITLE
 REMARKS three atoms

       3 !NATOM
       1 SEGA 1    MET  N      56  -0.300000       14.0070           0
       2 SEGA 1    MET  HT1     2   0.330000        1.0080           0
       3 SEGA 2    CYS  SG     22   0.210000       32.0600           0

"""


@pytest.fixture
def files(tmp_path):
    coordinates = np.arange(36, dtype=np.float32).reshape(4, 3, 3)
    trajectory = dcd.DCDFile()
    trajectory.set_coord(coordinates)
    trajectory.write(str(tmp_path / "run.dcd"))
    (tmp_path / "top.psf").write_text(PSF)
    return tmp_path, coordinates


def test_reads_frames_with_elements_from_masses(files, compress):
    folder, coordinates = files
    for topology in (folder / "top.psf", compress(folder / "top.psf")):
        trajectory = read_trajectory(topology, folder / "run.dcd", hydrogens=True)
        assert len(trajectory) == 4
        np.testing.assert_array_equal(trajectory.coordinates, coordinates)
        assert trajectory.atoms.elements.tolist() == ["N", "H", "S"]
        assert trajectory.atoms.residue_numbers.tolist() == [1, 1, 2]


def test_drops_hydrogens_in_every_frame(files):
    folder, coordinates = files
    trajectory = read_trajectory(folder / "top.psf", folder / "run.dcd")
    np.testing.assert_array_equal(trajectory.frame(3).coordinates, coordinates[3, [0, 2]])
    assert [len(table) for table in trajectory.frames([0, 1])] == [2, 2]


def test_says_that_topology_and_trajectory_do_not_belong_together(files, pdb_file):
    folder, _ = files
    with pytest.raises(CryoswayError, match=r"run.dcd has 3 atoms but .*small.pdb has 7"):
        read_trajectory(pdb_file, folder / "run.dcd")


def test_says_what_is_wrong_with_the_files(files):
    folder, _ = files
    with pytest.raises(CryoswayError, match="no such trajectory file"):
        read_trajectory(folder / "top.psf", folder / "absent.dcd")
    with pytest.raises(CryoswayError, match="no such topology file"):
        read_trajectory(folder / "absent.psf", folder / "run.dcd")
    (folder / "bad.psf").write_text("PSF\n")
    with pytest.raises(CryoswayError, match="no !NATOM section"):
        read_trajectory(folder / "bad.psf", folder / "run.dcd")
    (folder / "short.psf").write_text(PSF.replace("       32.0600           0", ""))
    with pytest.raises(CryoswayError, match=r"short.psf line 9: expected the 8 columns"):
        read_trajectory(folder / "short.psf", folder / "run.dcd")


def test_names_the_missing_package(files, monkeypatch):
    folder, _ = files
    monkeypatch.setitem(__import__("sys").modules, "biotite.structure.io.dcd", None)
    with pytest.raises(CryoswayError, match="pip install biotite"):
        read_trajectory(folder / "top.psf", folder / "run.dcd")
