"""`cs.plot`: every figure in one call, and what is missing told with the command that makes it."""

import io
import re

import numpy as np
import pytest
from PIL import Image

import cryosway as cs
from cryosway import CryoswayError
from cryosway.engine import read_json, read_table, write_json, write_table
from cryosway.report import _map_figures, _morph, _page_maps, _pictures

STATES = {
    "coverage": 0.9,
    "states": [
        {"state": number, "population": 0.5, "population_interval": [0.4, 0.6], "counted": 0.5,
         "population_even_views": None, "centre": [number, 0.0]}
        for number in (1, 2)
    ],
    "profiles": [{"direction": 1, "coordinate": [0.0, 1.0, 2.0], "energy": [0.0, 1.0, 0.5],
                  "low": [0.0, 0.8, 0.3], "high": [0.0, 1.2, 0.7]}],
    "plane": None,
}  # fmt: skip
VOLUME_SPACE = {
    "volumes": 30, "low_pass_angstrom": 12.0, "explained_variance": [0.7, 0.2], "linkage": "ward",
    "mapping": {"r_squared_left_out": [0.99, 0.3]},
    "clusters": [{"cluster": 1, "typical_particle": 3}, {"cluster": 2, "typical_particle": 5}],
}  # fmt: skip


def add_landscapes(folder):
    """Add what `states` and `landscape --volumes` write; the clusters' maps serve as theirs."""
    write_json(folder / "states.json", STATES)
    write_json(folder / "volume_space.json", VOLUME_SPACE)
    table = read_table(folder / "particles.parquet")
    table["state"] = table["density_cluster"] = table["volume_cluster"] = table["cluster"]
    table["vpc1"], table["vpc2"] = table["pc1"], table["pc2"]
    write_table(folder / "particles.parquet", table)
    index = folder / "volumes" / "volumes.json"
    entries = read_json(index)["volumes"]
    groups = [entry for entry in entries if entry["kind"] == "cluster"]
    for number, entry in enumerate(groups, start=1):
        fsc = np.linspace(1, 0, 16).tolist()
        state = {"kind": "state", "state": number, "label": f"state {number}", "population": 0.5}
        volume = {"kind": "volume_cluster", "label": f"volume cluster {number}"}
        entries += [{**entry, "fsc": fsc, **state}, {**entry, **volume}]
    entries.append({**entries[0], "kind": "local_resolution"})
    write_json(index, {"volumes": entries})


@pytest.fixture(scope="module")
def job(tmp_path_factory, make_report_job):
    folder = make_report_job(tmp_path_factory.mktemp("plot") / "job")
    add_landscapes(folder)
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory, make_report_job):
    return make_report_job(tmp_path_factory.mktemp("plot") / "bare", "backproject", latents=False)


NAMES = (
    "landscape", "embedding", "populations", "free_energy", "spectrum", "fsc", "views", "defocus",
    "consensus", "slices", "maps", "morph", "difference", "states", "volume_space", "noise",
    "shifts", "local_resolution",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_each_figure_is_one_call_that_notebooks_show(job, name):
    figure = getattr(cs.plot, name)(job)
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert len(figure.axes)


def test_an_opened_job_and_a_run_are_taken_too(job, make_run):
    assert cs.plot.fsc(cs.open_job(job)).axes
    assert cs.plot.landscape(make_run()).axes


def test_an_animation_plays_in_a_notebook(tmp_path, job):
    played = cs.plot.animation(job)
    assert re.match(r'<img src="data:image/gif;base64,[\w+/=]+">', played._repr_html_())
    with Image.open(played.save(tmp_path / "a.gif")) as image:
        assert image.n_frames == 8
        assert np.asarray(image.convert("RGB")).min() < 200


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("landscape", "holds no latents; give a job of a method that finds them"),
        ("embedding", r"holds no embedding; run cryosway landscape .*bare first"),
        ("populations", "holds no states or clusters; run cryosway states"),
        ("free_energy", "holds no free energies; run cryosway states"),
        ("spectrum", "holds no spectrum of components; give a job of linear"),
        ("maps", "holds no maps of kind cluster; run cryosway landscape"),
        ("morph", "holds no maps along direction 1; run cryosway landscape"),
        ("states", "holds no states; run cryosway states"),
        ("volume_space", r"holds no volume space; run cryosway landscape --volumes 300 .*bare"),
        ("local_resolution", "holds no maps of kind local_resolution; run cryosway backproject"),
        ("models", "holds no series of models"),
    ],
)
def test_what_is_missing_is_told(bare, name, told):
    with pytest.raises(CryoswayError, match=told):
        getattr(cs.plot, name)(bare)


def test_other_directions_are_named(job):
    with pytest.raises(CryoswayError, match="no maps along direction 2; there are 1"):
        cs.plot.morph(job, 2)


@pytest.mark.parametrize("kind", ["state", "volume_cluster"])
def test_maps_of_other_kinds_are_drawn_too(job, kind):
    texts = [text.get_text() for axis in cs.plot.maps(job, kind).axes for text in axis.texts]
    assert any("50 % of particles" in text for text in texts) == (kind == "state")


def test_curves_are_of_the_kind_that_is_asked_for(job):
    lines = cs.plot.fsc(job, "state").axes[0].get_lines()
    assert [str(line.get_label()) for line in lines[:2]] == ["state 1: 8.0 Å", "state 2: 8.0 Å"]
    with pytest.raises(CryoswayError, match="no FSC curve"):
        cs.plot.fsc(job, "cluster")


def test_populations_of_clusters_are_there_beside_those_of_states(job):
    assert cs.plot.populations(job).axes[0].get_xlabel() == "state (number)"
    assert cs.plot.populations(job, "cluster").axes[0].get_xlabel() == "cluster (number)"


def test_a_stored_picture_is_shown_as_it_is(job):
    (job / "figures").mkdir(exist_ok=True)
    drawn = Image.fromarray(np.full((30, 40, 3), 77, np.uint8))
    drawn.save(job / "figures" / "validation_null.png")
    shown = cs.plot.picture(job, "validation_null")
    with Image.open(io.BytesIO(shown._repr_png_())) as image:
        assert image.size == (40, 30)
        assert np.ptp(np.asarray(image.convert("RGB"))) == 0
    with pytest.raises(CryoswayError, match="no picture halves; there are validation_null"):
        cs.plot.picture(job, "halves")


def test_every_picture_of_a_report_is_a_call(tmp_path, make_report_job, monkeypatch):
    """The names differ where a call covers several figures; what is drawn is not looked at."""
    folder = make_report_job(tmp_path / "job")
    add_landscapes(folder)
    blank = np.zeros((8, 8, 4), np.uint8)
    monkeypatch.setattr(_map_figures, "render_scene", lambda *_, **__: blank)
    monkeypatch.setattr(_morph, "render_scene", lambda *_, **__: blank)
    monkeypatch.setattr(_page_maps, "animate_morph", lambda *_, **__: b"GIF")
    monkeypatch.setattr(_pictures, "figure_png", lambda _: b"PNG")
    page = cs.report(folder).read_text()
    assert "50 (40 to 60)" in page, "populations with their intervals"
    assert all(f'<section id="{name}">' in page for name in ("states", "volumes"))
    calls = {
        "latents": "landscape",
        "umap": "embedding",
        "clusters": "maps",
        "state_maps": "maps",
        "volume_clusters": "maps",
        "particles_by_state": "states",
        "states": "populations",
        "direction_1": "morph",
        "direction_1_difference": "difference",
        "fsc_states": "fsc",
    }
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    assert {"volume_space", "state_maps", "fsc_states", "local_resolution"} <= names
    assert {calls.get(name, name) for name in names} <= set(cs.plot.__all__)


def test_the_whole_room_is_listed():
    others = {"animation", "Animation", "models", "picture"}
    assert set(cs.plot.__all__) == {*NAMES, *others}
