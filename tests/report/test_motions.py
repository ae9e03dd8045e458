"""Pictures of motion, and the commands that show models in ChimeraX."""

import numpy as np
import pandas as pd
import pytest

from cryosway.engine import write_json
from cryosway.report import (
    DomainPicture,
    figure_png,
    gather_contents,
    plot_displacement,
    plot_domain_motion,
    plot_measure,
    write_displacement,
    write_session,
)
from cryosway.report._reproduce import write_command

MOTIONS = {
    "domains": [
        {"domain": 1, "residues": "/A:1-30,60-90"},
        {"domain": 2, "residues": "/A:31-59/B:2-9"},
    ],
    "motions": [{"domain": 2, "axis": [0, 0, 1], "point": [10.0, 5.0, 0.0]}],
    "displacement_angstrom": {"largest": 3.25},
}


@pytest.fixture
def residues():
    number = np.arange(1, 41)
    return pd.DataFrame({
        "chain": ["A"] * 25 + ["B"] * 15,
        "residue_number": number,
        "domain": [1] * 25 + [2] * 15,
        "displacement": number / 10,
        "displacement_relative": number / 8,
    })  # fmt: skip


def line_of(figure, name):
    axis = figure.axes[0]
    return next(line for line in axis.lines if line.get_label() == name).get_xydata()


def test_displacement_is_drawn_by_residue(residues):
    figure = plot_displacement(residues)
    np.testing.assert_allclose(line_of(figure, "seen from domain 1")[:, 1], np.arange(1, 41) / 8)
    ticks = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert ticks == ["A", "B"]  # where each chain begins
    single = residues[residues["chain"] == "A"]
    drawn = plot_displacement(single.assign(domain=0, uncertainty=0.3))
    np.testing.assert_allclose(line_of(drawn, "seen after superposition")[:, 0], np.arange(1, 26))
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert "uncertainty" in labels and not any("domain" in label for label in labels)
    assert figure_png(drawn)[:4] == b"\x89PNG"


def picture(slides):
    rng = np.random.default_rng(0)
    places = rng.normal(size=(20, 3)) * 5
    members = np.arange(12, 20)
    places[members] += [20.0, 0, 0]
    half = np.deg2rad(15)
    turn = np.array([[np.cos(half), -np.sin(half), 0], [np.sin(half), np.cos(half), 0], [0, 0, 1]])
    low, high = places[members] @ turn, places[members] @ turn.T
    return DomainPicture(
        2, places, low, high, members, np.arange(10),
        np.stack([np.arange(19), np.arange(1, 20)], axis=1),
        np.array([0, 0, 1.0]), np.zeros(3), slides, rng.normal(size=50),
    )  # fmt: skip


def test_a_turn_is_drawn_down_its_axis():
    down, side, histogram = plot_domain_motion(picture(slides=False)).axes
    arc = np.array(down.lines[-1].get_xydata())
    angle = np.unwrap(np.arctan2(arc[:, 1], arc[:, 0]))
    assert np.rad2deg(angle[-1] - angle[0]) == pytest.approx(30, abs=0.1)
    assert len(down.collections) == len(side.collections) == 4
    assert "turn" in histogram.get_xlabel()


def test_a_slide_has_no_arc():
    down, _, histogram = plot_domain_motion(picture(slides=True)).axes
    assert len(down.lines) == 1 and "shift" in histogram.get_xlabel()


def test_a_measure_has_its_median():
    values = np.r_[np.linspace(10, 20, 21), np.nan]
    (axis,) = plot_measure(values, "distance (Å)").axes
    assert [text.get_text() for text in axis.texts] == ["median 15.0"]
    assert sum(bar.get_height() for bar in axis.patches) == 21
    (still,) = plot_measure(np.full(5, 7.0), "distance (Å)").axes
    assert still.get_xlim()[0] < 7 < still.get_xlim()[1]


@pytest.fixture
def folder(tmp_path, make_report_job):
    """A job with four maps or series of maps, a morph of three models, and a single model."""
    root = make_report_job(tmp_path / "job")
    (root / "models").mkdir()
    entries = []
    for name, kind, count in (("direction1", "direction", 3), ("latents", "latent", 1)):
        (root / "models" / f"{name}.cif").write_text("data_\n")
        entries.append({"file": f"{name}.cif", "kind": kind, "states": [{}] * count})
    entries.append({"file": "gone.cif", "kind": "path", "states": [{}]})
    write_json(root / "models" / "models.json", {"models": entries})
    return root


def commands_of(folder):
    text = write_session(gather_contents(folder), 0.25).read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_models_are_numbered_after_the_maps_and_morph(folder):
    lines = commands_of(folder)
    models = [line for line in lines if ".cif" in line]
    assert models == ['open "models/direction1.cif" coordsets true', 'open "models/latents.cif"']
    maps = sum(line.startswith("open ") for line in lines) - 2
    assert f"cartoon #{maps + 1}" in lines and f"hide #{maps + 1} models" not in lines
    assert f"hide #{maps + 2} models" in lines  # only the first is shown
    assert lines[-2:] == ["view front", f"coordset slider #{maps + 1}"]
    assert not any(line.startswith(("color #", "color by")) for line in lines)


def test_models_are_coloured_by_domain(folder):
    write_json(folder / "motions.json", MOTIONS)
    lines = commands_of(folder)
    coloured = [line.split("/", 1)[1] for line in lines if line.startswith("color #6")]
    assert coloured == ["A:1-30,60-90 #8a97a3", "A:31-59/B:2-9 #0072b2"]
    (axis,) = [line for line in lines if line.startswith("shape")]
    assert "fromPoint 10.00,5.00,-25.00 toPoint 10.00,5.00,25.00" in axis


def test_models_without_domains_are_coloured_by_displacement(folder):
    write_json(folder / "motions.json", {**MOTIONS, "domains": [], "motions": []})
    lines = commands_of(folder)
    at = lines.index('open "models/displacement.defattr"')
    assert lines[at + 1].startswith("color byattribute r:displacement #6 palette ")
    assert lines[at + 1].endswith("range 0,3.25")


def test_attribute_file(tmp_path):
    write_displacement(tmp_path / "d.defattr", ["/A:1", "/B:2A"], [0.5, 12.0])
    lines = (tmp_path / "d.defattr").read_text().splitlines()
    assert lines[2:] == ["\t/A:1\t0.500", "\t/B:2A\t12.000"]


def test_the_command_of_a_job_spells_pairs():
    info = {"command": "motions", "config": {"distance": [["/A:1", "/A:2"], ["/A:3", "/A:4"]]}}
    assert "--distance /A:1 /A:2 --distance /A:3 /A:4" in write_command(info, "job")


def test_command_of_an_audit_names_a_job():
    """Its ``particles`` are a number."""
    info = {"command": "audit", "config": {"particles": 500}, "inputs": {"structural": "0" * 64}}
    assert write_command(info, "out") == "cryosway audit JOB --out out --particles 500"
