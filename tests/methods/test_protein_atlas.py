"""Atlases: the best of each sequence, found by sequence, confidence and structure."""

from importlib.resources import files

import numpy as np
import pytest

import cryosway as cs
from cryosway.cli import main
from cryosway.methods._protein.atlas import Atlas
from cryosway.methods._protein.search import align_identity, search_atlas
from cryosway.protein import Prediction, read_prediction, read_structure, write_prediction

FOLDER = files("cryosway.simulate") / "data"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Parts of the kinase as predictions: sure, less sure of the same, and of another stretch."""
    out = tmp_path_factory.mktemp("folds")
    whole = read_structure(str(FOLDER / "1ake.cif.gz"), chains=["A"], ligands=False)
    for name, first, last, plddt, ptm in (
        ("core", 1, 110, 90.0, 0.9),
        ("again", 1, 110, 60.0, 0.6),
        ("lid", 120, 200, 55.0, 0.4),
        ("tail", 1, 100, 80.0, 0.8),
    ):
        inside = (whole.residue_numbers >= first) & (whole.residue_numbers <= last)
        count = last - first + 1
        (out / name).mkdir()
        found = Prediction(name, whole[inside], np.full(count, plddt), np.ones((count,) * 2), ptm)
        write_prediction(found, out / name / f"{name}.cif")
    return out


@pytest.fixture(scope="module")
def job(folder, tmp_path_factory):
    return cs.atlas(folder, tmp_path_factory.mktemp("atlas") / "a", shard_size=2)


def test_of_each_sequence_the_surest_is_kept(job):
    table = Atlas(job.path).table
    assert table["name"].tolist() == ["core", "lid", "tail"]
    assert table["length"].tolist() == [110, 81, 100]
    assert job.info["atlas"] == {"predictions": 3, "high_confidence": 2}
    assert len(list((job.path / "structures").iterdir())) == 2


def test_structures_come_back_from_their_shards(job, folder, tmp_path):
    atlas = Atlas(job.path)
    for row, name in enumerate(("core", "lid", "tail")):
        path = atlas.write([row], tmp_path)[0]
        back, before = (read_prediction(p) for p in (path, folder / name / f"{name}.cif"))
        np.testing.assert_allclose(back.atoms.coordinates, before.atoms.coordinates, atol=1e-3)
        assert back.mean_plddt == pytest.approx(before.mean_plddt)
        assert back.ptm == before.ptm
        assert atlas.model(row).startswith(b"data_")


def test_by_confidence(job):
    found = search_atlas(job.path, min_plddt=70, min_ptm=0.7, longest=105)
    assert found["name"].tolist() == ["tail"]
    assert search_atlas(job.path)["name"].tolist() == ["core", "tail", "lid"]


def test_by_sequence_the_same_comes_first_and_the_like_after(job):
    query = Atlas(job.path).table["sequence"][0]
    found = search_atlas(job.path, sequence=query)
    assert found["name"].tolist() == ["core", "tail"]
    assert found["identity"].tolist() == [1.0, 1.0]  # of the shorter one
    changed = "".join("W" if i % 4 == 0 else letter for i, letter in enumerate(query))
    found = search_atlas(job.path, sequence=changed, min_identity=0.5)
    assert set(found["name"]) <= {"core", "tail"}
    assert align_identity("MKTAYIAK", "MWTAYIWK") == 0.75


def test_the_command_lists_and_writes(job, tmp_path, capsys):
    (tmp_path / "q.fasta").write_text(f">q\n{Atlas(job.path).table['sequence'][1]}\n")
    arguments = ["--sequence", str(tmp_path / "q.fasta"), "--out", str(tmp_path / "found")]
    assert main(["protein", "search", str(job.path), *arguments]) == 0
    assert "lid" in capsys.readouterr().out
    assert [p.name[:3] for p in (tmp_path / "found").glob("*.cif")] == ["lid"]
    assert main(["protein", "search", str(job.path), "--min-plddt", "99"]) == 0
    assert "nothing found" in capsys.readouterr().out


def test_by_structure_where_foldseek_is_installed(job, folder, tmp_path, monkeypatch):
    """A program that stands for Foldseek: it finds everything."""
    program = tmp_path / "foldseek"
    line = 'printf "%s\\t0.9\\n" "$(basename "$t" .cif)_A" >> "$4"'
    program.write_text(f'#!/bin/sh\nfor t in "$3"/*; do\n{line}\ndone\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = search_atlas(job.path, structure=folder / "lid" / "lid.cif")
    assert set(found["name"]) == {"core", "lid", "tail"}
    assert found["tm"].tolist() == [0.9] * 3
    program.write_text("#!/bin/sh\necho no database >&2\nexit 1\n")
    with pytest.raises(cs.CryoswayError, match="Foldseek failed: no database"):
        search_atlas(job.path, structure=folder / "lid" / "lid.cif")
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(cs.CryoswayError, match="needs Foldseek"):
        search_atlas(job.path, structure=folder / "lid" / "lid.cif")


def test_mistakes_are_told(job, tmp_path):
    with pytest.raises(cs.CryoswayError, match="is no atlas"):
        Atlas(tmp_path)
    with pytest.raises(cs.CryoswayError, match="is no folder"):
        cs.atlas(tmp_path / "absent", tmp_path / "x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(cs.CryoswayError, match="as sure as asked for"):
        cs.atlas(tmp_path / "empty", tmp_path / "y")
    with pytest.raises(cs.CryoswayError, match="not by both at once"):
        search_atlas(job.path, sequence="MKV", structure="x.cif")
