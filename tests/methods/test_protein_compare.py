"""`protein compare` on files: one model, and ensembles."""

from importlib.resources import files

import pandas as pd
import pytest

import cryosway as cs
from cryosway.cli import main
from cryosway.engine import read_json
from cryosway.protein import read_structure, write_structure

FOLDER = files("cryosway.simulate") / "data"


@pytest.fixture(scope="module")
def kinase_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinase")
    tables = [read_structure(str(FOLDER / f"{name}.cif.gz")) for name in ("1ake", "4ake")]
    tables = [t.select_chains(["A"]).select_atoms(["N", "CA", "C", "O"]) for t in tables]
    write_structure(folder / "closed.cif", tables[0])
    write_structure(folder / "both.cif", tables)
    return folder / "closed.cif", folder / "both.cif"


def test_the_command_prints_the_scores_and_writes_the_residues(kinase_files, tmp_path, capsys):
    closed, _ = kinase_files
    assert main(["protein", "compare", str(closed), str(closed), "--out", str(tmp_path)]) == 0
    assert "RMSD 0.00 Å" in capsys.readouterr().out
    residues = pd.read_parquet(tmp_path / "residues.parquet")
    assert len(residues) == 214
    assert residues["lddt"].eq(1).all()
    assert read_json(tmp_path / "comparison.json")["identity"] == 1
    assert (tmp_path / "comparison.png").read_bytes()[:4] == b"\x89PNG"


def test_every_model_of_an_ensemble_is_compared(kinase_files, tmp_path, capsys):
    closed, both = kinase_files
    found = cs.compare_models(both, closed, out=tmp_path)
    assert found.rmsd[:, 0] == pytest.approx([0, 7.13], abs=0.01)
    pairs = pd.read_parquet(tmp_path / "comparison.parquet")
    assert pairs["model"].tolist() == [1, 2]
    assert main(["protein", "compare", str(both), str(both)]) == 0
    assert "2 models, 2 references" in capsys.readouterr().out


def test_a_missing_file_is_told(kinase_files):
    with pytest.raises(cs.CryoswayError, match="no such structure file"):
        cs.compare_models("absent.cif", kinase_files[0])
