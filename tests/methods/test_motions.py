"""Motions that are known come back: domains, axes, angles of every particle, distances."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import cryosway as cs
from cryosway import CryoswayError
from cryosway.cli import main
from cryosway.methods._motions.motion_analysis import Spread
from cryosway.methods._motions.motion_words import say_support
from cryosway.methods._structural.bead_ensemble import BeadEnsemble

ASKED = {
    "distance": (("/A:1-20", "/A:130-140"), ("/A:10", "/A:80")),
    "angle": (("/A:130-140", "/A:1-20", "/A:40-50"),),
}


@pytest.fixture(scope="module")
def moves(hinged, tmp_path_factory):
    out = tmp_path_factory.mktemp("motions") / "job"
    return cs.motions(hinged.job, out, threads=1, models=3, **ASKED)


@pytest.fixture(scope="module")
def numbers(moves):
    return json.loads((moves.path / "motions.json").read_text())


def of_lid(numbers, hinged, name):
    """The entry of the domain that is this lid."""
    table = pd.DataFrame(numbers["domains"])
    wanted = int(hinged.lids[name].sum())
    return next(
        motion
        for motion in numbers["motions"]
        if abs(table.set_index("domain")["count"][motion["domain"]] - wanted) <= 4
    )


@pytest.mark.parametrize("name", ["LID", "NMP"])
def test_hinges_come_back(hinged, moves, numbers, name):
    assert len(numbers["domains"]) == 3 and numbers["explained"] > 0.99
    found, truth = of_lid(numbers, hinged, name), hinged.angles[name]
    axis = np.array(found["axis"])
    sign = np.sign(axis @ hinged.axes[name])
    assert sign * axis @ hinged.axes[name] > np.cos(np.deg2rad(1))
    # Where the job's maps lie: the centre of the box is half a box from their origin.
    point = hinged.points[name] + hinged.job.box // 2 * hinged.job.pixel_size
    assert np.linalg.norm(np.cross(np.array(found["point"]) - point, axis)) < 0.5
    ends = np.percentile(truth, [5, 95])
    assert found["angle_degrees"] == pytest.approx(np.ptp(ends), rel=0.1)
    assert abs(found["translation_angstrom"]) < 0.1
    column = moves.particles[f"domain{found['domain']}_angle"]
    np.testing.assert_allclose(sign * column, truth, atol=0.3)
    low, high = (found["angle"]["percentiles"][end] for end in ("5", "95"))
    np.testing.assert_allclose(sorted([sign * low, sign * high]), ends, atol=0.3)
    # The chain passes to the lid at both ends of it.
    assert len(found["hinges"]) == 2


def test_residues_move_as_far_as_they_do(hinged, moves):
    ensemble = BeadEnsemble(hinged.job)
    beads = ensemble.beads(hinged.job.latents)
    rms = np.sqrt(((beads - beads.mean(0)) ** 2).sum(-1).mean(0))
    table = pd.read_parquet(moves.path / "residues.parquet")
    np.testing.assert_allclose(table["displacement"], rms, atol=1e-5)
    core = ~(hinged.lids["LID"] | hinged.lids["NMP"])
    assert table["displacement_relative"][core].median() < 0.02
    np.testing.assert_allclose(table["displacement_relative"], rms, atol=0.1)
    assert table["displacement_within"].max() < 1 < table["displacement"].max()
    assert table["residue_number"].tolist() == ensemble.coarse.residue_numbers.tolist()
    assert "uncertainty" not in table


def test_distances_and_angles_of_every_particle(hinged, moves, numbers):
    ensemble = BeadEnsemble(hinged.job)
    beads, number = ensemble.beads(hinged.job.latents), ensemble.coarse.residue_numbers

    def centre(first, last):
        return beads[:, (number >= first) & (number <= last)].mean(1)

    core, lid, nmp = centre(1, 20), centre(130, 140), centre(40, 50)
    table = moves.particles
    np.testing.assert_allclose(table["distance1"], np.linalg.norm(core - lid, axis=1), rtol=1e-5)
    one, other = lid - core, nmp - core
    cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    np.testing.assert_allclose(table["angle1"], np.rad2deg(np.arccos(cosine)), rtol=1e-5)
    assert table["distance2"].std() < 1e-4  # both within the core
    assert [entry["column"] for entry in numbers["measures"]] == [
        "distance1",
        "distance2",
        "angle1",
    ]
    assert numbers["measures"][0]["percentiles"]["50"] == pytest.approx(table["distance1"].median())
    # All of the job's columns stay.
    assert list(table)[: len(list(hinged.job.particles))] == list(hinged.job.particles)


def test_pictures_and_sentences(moves):
    told = json.loads((moves.path / "supplement.json").read_text())
    assert "3 rigid domains explain" in told["sentences"][0]
    assert any("turns by" in line for line in told["sentences"])
    assert len(told["rows"]) == 3
    assert len(told["figures"]) == 1 + 2 + 3
    for entry in told["figures"]:
        picture = np.asarray(Image.open(moves.path / entry["file"]).convert("L"), float)
        assert picture.std() > 10  # something is drawn


def test_the_report_tells_of_motions(moves):
    page = cs.report(moves).read_text()
    assert "<h2>Motions</h2>" in page and "turns by" in page
    verdict = page[: page.index("<section")]
    assert "rigid domains explain" in verdict


def test_session_opens_map_and_morph(moves):
    lines = (moves.path / "session.cxc").read_text().splitlines()
    (opened,) = [line for line in lines if line.endswith("coordsets true")]
    assert opened == 'open "models/direction1.cif" coordsets true'
    assert (moves.path / "models" / "direction1.cif").exists()
    assert any(line.startswith('open "volumes/mean.mrc"') for line in lines)
    assert sum(line.startswith("color #2/A:") for line in lines) == 3
    assert sum(line.startswith("shape cylinder") for line in lines) == 2
    assert [line for line in lines if line and not line.startswith("#")][-1] == "coordset slider #2"
    attributes = (moves.path / "models" / "displacement.defattr").read_text().splitlines()
    assert attributes[:2] == ["attribute: displacement", "recipient: residues"]
    assert len(attributes) == 2 + 214 and attributes[2].split("\t")[1] == "/A:1"


def test_a_selection_by_a_distance_is_exported(hinged, moves, tmp_path):
    far = moves.particles["distance1"]
    low, high = far.quantile([0.25, 0.75])
    cs.export(moves, tmp_path, to="relion", interval=(("distance1", low, high), ("z1", -0.5, 1)))
    kept = cs.read_particles(tmp_path / "particles.star")
    z1 = moves.particles["z1"]
    rows = np.flatnonzero((far >= low) & (far <= high) & (z1 >= -0.5))
    whole = cs.read_particles(hinged.job.path / "particles.star")
    assert 0 < len(kept) == len(rows)
    names = [particles.source["image_name"].tolist() for particles in (kept, whole[rows])]
    assert names[0] == names[1]


def test_export_for_chimerax_has_models(hinged, moves, tmp_path):
    """A structural job gives a morph, a motions job its coloured one; folders may be moved."""
    for job, name in ((hinged.job, "plain"), (moves, "coloured")):
        out = cs.export(job, tmp_path / name, to="chimerax")
        lines = (out / "session.cxc").read_text().splitlines()
        opened = [line.split('"')[1] for line in lines if line.startswith("open ")]
        assert {"models/direction1.cif", "volumes/mean.mrc"} <= set(opened)
        assert all((out / path).exists() for path in opened)
        assert any(line.startswith("color #") for line in lines) == (name == "coloured")


def test_uncertainty_is_told(hinged, tmp_path):
    import shutil

    from cryosway.engine import write_table

    job = cs.open_job(shutil.copytree(hinged.job.path, tmp_path / "job"))
    write_table(job.path / "residues.parquet", pd.DataFrame({"uncertainty": np.full(214, 0.5)}))
    found = cs.motions(job, tmp_path / "out", threads=1, models=0)
    table = pd.read_parquet(found.path / "residues.parquet")
    sure = int((table["displacement_relative"] > 1).sum())
    told = json.loads((found.path / "supplement.json").read_text())["sentences"]
    assert f"{sure} of 214 residues move by more than twice their uncertainty." in told
    assert not (found.path / "models").exists()


@pytest.mark.parametrize(
    ("gain", "sentence"), [(1.0, "is in the data"), (-1.0, "NOT in the data"), (0.1, "cannot tell")]
)
def test_what_half_sets_say_comes_first(gain, sentence):
    halves = {"gain_over_mean": gain, "gain_over_mean_error": 0.1}
    (line,) = say_support({"halves": halves})
    assert sentence in line
    assert say_support({}) == []


def test_nothing_moves(hinged, tmp_path):
    """All particles at one latent: no domain, and a page that says so."""
    import shutil

    from cryosway.engine import write_table

    job = cs.open_job(shutil.copytree(hinged.job.path, tmp_path / "job"))
    table = job.particles.assign(z1=0.3, z2=0.1)
    write_table(job.path / "particles.parquet", table)
    found = cs.motions(job.path, tmp_path / "out", threads=1, models=0, distance=ASKED["distance"])
    told = json.loads((found.path / "supplement.json").read_text())
    assert told["sentences"][0].startswith("Nothing moves") and "rows" not in told
    assert json.loads((found.path / "motions.json").read_text())["domains"] == []
    assert found.particles["distance1"].std() < 1e-3
    residues = pd.read_parquet(found.path / "residues.parquet")
    assert (residues["domain"] == 0).all() and residues["displacement"].max() < 1e-3


def test_command_line(hinged, tmp_path, capsys):
    typed = ["motions", str(hinged.job.path), "--out", str(tmp_path / "out"), "--models", "0"]
    typed += ["--distance", "A:1-9", "A:50", "--distance", "/A:1", "/A:60", "--threads", "1"]
    assert main([*typed, "--angle", "A:1", "A:2", "A:3", "--domains", "2"]) == 0
    table = cs.open_job(tmp_path / "out").particles
    assert {"distance1", "distance2", "angle1", "domain2_angle"} <= set(table)
    assert "domain3_angle" not in table
    assert main([*typed, "--angle", "A:1", "A:2", "A:3", "--domains", "2"]) == 0
    assert "nothing to do" in capsys.readouterr().err


def test_sentences(hinged, tmp_path):
    for options, sentence in [
        ({"distance": (("/B:1", "/A:2"),)}, "there is no chain 'B'; there are A"),
        ({"distance": (("/A:1",),)}, "motions: distance"),
        ({"domain": 3}, "did you mean 'domains'"),
    ]:
        with pytest.raises(CryoswayError, match=sentence):
            cs.motions(hinged.job, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_motions_job_decodes_nothing(moves, tmp_path):
    with pytest.raises(CryoswayError, match="ask its structural job"):
        moves.volume(moves.latents[0])
    with pytest.raises(CryoswayError, match="has no atomic model; give a job of cryosway struct"):
        cs.write_models(moves, tmp_path, particles=(0,))


def test_spread_of_points():
    points = np.random.default_rng(1).normal(size=(30, 4, 3)) + 100
    spread = Spread(4)
    for part in np.split(points, [7, 19]):
        spread.add(part)
    np.testing.assert_allclose(spread.rms(), np.sqrt(points.var(0).sum(-1)), rtol=1e-9)
    np.testing.assert_allclose(spread.mean(), points.mean(0))
