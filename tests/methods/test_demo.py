"""`demo` runs the pipeline on simulated images and compares it with the truth."""

import json

import numpy as np
import pytest

import cryosway as cs
import cryosway.methods._demo as demo_module
from cryosway import CryoswayError
from cryosway.methods._truth_comparison import (
    TruthComparison,
    describe_comparison,
    fit_coordinate,
    plot_comparison,
)


@pytest.mark.slow
def test_small_demo(tmp_path, monkeypatch):
    small = {**demo_module._SMALL, "components": 2, "null_tests": 0, "clusters": 2, "umap": False}
    monkeypatch.setattr(demo_module, "_SMALL", small)
    monkeypatch.setattr(demo_module, "_COMPARED", 2)
    job = cs.demo(tmp_path / "demo", images=500, box=32, snr=0.3, seed=1)
    assert job.status == "finished" and job.latents.shape == (500, 2)
    truth = cs.open_job(job.path / "truth")
    assert truth.info["r_squared"] > 0.5
    assert truth.info["auc_fsc"] > truth.info["auc_fsc_consensus"]
    page = (job.path / "report.html").read_text()
    assert "Comparison with the truth" in page and "R² = 0." in page
    assert (job.path / "figures" / "truth.png").exists()
    before = (job.path / "truth" / "supplement.json").stat().st_mtime_ns
    assert cs.demo(tmp_path / "demo", images=500, box=32, snr=0.3, seed=1).status == "finished"
    assert (job.path / "truth" / "supplement.json").stat().st_mtime_ns == before
    with pytest.raises(CryoswayError, match="images=500, not 600"):
        cs.demo(tmp_path / "demo", images=600, box=32, snr=0.3, seed=1)


def make_comparison(noise):
    rng = np.random.default_rng(0)
    coordinate = np.repeat(np.linspace(0, 1, 5), 100)
    latents = np.column_stack([3 * coordinate + noise * rng.normal(size=500), rng.normal(size=500)])
    return TruthComparison(
        coordinate,
        fit_coordinate(latents, coordinate),
        np.linspace(0, 1, 5),
        np.full(5, 0.45),
        np.full(5, 0.40),
        0.4844,
    )


def test_r_squared_is_the_share_explained():
    assert make_comparison(0).r_squared == pytest.approx(1)
    variance = np.var(3 * np.repeat(np.linspace(0, 1, 5), 100))
    expected = variance / (variance + 1.0)
    assert make_comparison(1.0).r_squared == pytest.approx(expected, abs=0.04)


def test_comparison_is_told():
    found = describe_comparison(make_comparison(0.3))
    assert "better one for 5 of 5 states" in found["sentences"][1]
    assert len(found["rows"]) == 5 and len(found["header"]) == len(found["rows"][0])
    json.dumps(found)
    figure = plot_comparison(make_comparison(0.3))
    assert len(figure.axes) == 2


def test_options_are_checked(tmp_path):
    with pytest.raises(CryoswayError, match="images"):
        cs.demo(tmp_path / "demo", images=1)
