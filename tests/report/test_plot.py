"""`cs.plot`: every figure in one call, and what is missing told with the command that makes it."""

import re

import numpy as np
import pytest
from PIL import Image

import cryosway as cs
from cryosway import CryoswayError
from cryosway.engine import write_json

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


@pytest.fixture(scope="module")
def job(tmp_path_factory, make_report_job):
    folder = make_report_job(tmp_path_factory.mktemp("plot") / "job")
    write_json(folder / "states.json", STATES)
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory, make_report_job):
    return make_report_job(tmp_path_factory.mktemp("plot") / "bare", "backproject", latents=False)


NAMES = (
    "landscape", "embedding", "populations", "free_energy", "spectrum", "fsc", "views", "defocus",
    "consensus", "slices", "maps", "morph", "difference",
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
    ],
)
def test_what_is_missing_is_told(bare, name, told):
    with pytest.raises(CryoswayError, match=told):
        getattr(cs.plot, name)(bare)


def test_other_directions_are_named(job):
    with pytest.raises(CryoswayError, match="no maps along direction 2; there are 1"):
        cs.plot.morph(job, 2)


def test_the_whole_room_is_listed():
    assert set(cs.plot.__all__) == {*NAMES, "animation", "Animation"}
