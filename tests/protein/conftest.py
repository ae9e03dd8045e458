"""Structures that the tests of this room share."""

import gzip
from importlib.resources import files

import numpy as np
import pytest

from cryosway.protein import AtomTable, read_structure

PDB = """\
HEADER    TEST
MODEL        1
ATOM      1  N   GLY A   1       0.000   0.000   0.000  1.00 10.00           N
ATOM      2  CA AGLY A   1       1.400   0.000   0.000  0.40 11.00           C
ATOM      3  CA BGLY A   1       1.500   0.000   0.000  0.60 12.00           C
ATOM      4  HA  GLY A   1       1.900   1.000   0.000  1.00 12.00           H
ATOM      5  N   SER A   1A      3.000   0.000   0.000  1.00 13.00           N
ATOM      6  P     G B   7       9.000   0.000   0.000  1.00 14.00           P
HETATM    7 MG    MG B 101      12.000   0.000   0.000  1.00 15.00          MG
HETATM    8  O   HOH B 201      15.000   0.000   0.000  1.00 15.00           O
ENDMDL
MODEL        2
ATOM      1  N   GLY A   1      99.000   0.000   0.000  1.00 10.00           N
ENDMDL
END
"""


@pytest.fixture
def pdb_file(tmp_path):
    path = tmp_path / "small.pdb"
    path.write_text(PDB)
    return path


@pytest.fixture(scope="session")
def kinase() -> tuple[AtomTable, AtomTable]:
    folder = files("cryosway.simulate") / "data"
    return tuple(read_structure(str(folder / f"{name}.cif.gz")) for name in ("1ake", "4ake"))


@pytest.fixture
def compress():
    def write(path):
        packed = path.with_name(path.name + ".gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        return packed

    return write


@pytest.fixture
def rng():
    return np.random.default_rng(7)
