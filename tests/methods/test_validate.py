"""`validate` says what is real of a job, goes on where it stopped, and says what it cannot."""

import contextlib
import shutil

import numpy as np
import pandas as pd
import pytest

import cryosway as cs
from cryosway import CryoswayError
from cryosway.engine import read_json, write_json
from cryosway.jobs import find_validations
from cryosway.methods._validate import null as validate_null_module
from cryosway.methods._validate import truth as validate_truth_module
from cryosway.methods._validate.null import measure_volume_spread
from cryosway.methods._validate.subject import Subject

QUICK = {"iterations": 3, "null_tests": 0, "components": 1, "fit_box": 20, "pose_errors": "none"}


@pytest.fixture(scope="module")
def few(make_set):
    """300 images of two states."""
    return make_set(2, n=300)


@pytest.fixture(scope="module")
def job(few, tmp_path_factory):
    return cs.linear(few.particles, tmp_path_factory.mktemp("job") / "linear", **QUICK)


@pytest.fixture(scope="module")
def validated(job, tmp_path_factory):
    """All parts but null and truth."""
    return cs.validate(
        job, job.path.parent / "checked", states=2, permutations=49,
        parts=["halves", "leakage", "support", "convergence"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def summary(validated):
    return read_json(validated.path / "validation.json")


def test_halves_agree_on_two_states(summary, validated):
    found = summary["parts"]["halves"]
    assert found["by_direction"][0] > 0.95
    assert found["canonical_correlations"][0] > 0.95 > 0.3 > found["chance"]
    assert found["verdict"] == "1 of 1 directions reproduced"
    assert min(one["difference_correlation"] for one in found["states"]) > 0.7
    table = validated.particles
    assert np.corrcoef(table["pc1_half1"], table["pc1_half2"])[0, 1] > 0.95


def test_latents_of_simulated_images_leak_nothing(summary):
    found = summary["parts"]["leakage"]["quantities"]
    assert {"the direction of view", "defocus", "the shift", "the mean of the image"} <= set(found)
    assert all(one["verdict"] != "strong" for one in found.values())


def test_what_tells_the_states_apart_is_supported(summary, validated, few):
    rows = summary["parts"]["support"]["features"]
    assert {row["verdict"] for row in rows} == {"supported"}
    assert rows[0]["amplitude"] == pytest.approx(1, abs=0.2)
    states = few.truth()["state"].to_numpy()
    has = validated.particles["feature1_expected"].to_numpy() > 0
    assert max((has == states).mean(), (has != states).mean()) > 0.95
    assert (validated.path / "features" / "state_1_half1.mrc").exists()
    assert len(pd.read_parquet(validated.path / "features.parquet")) == len(rows)


def test_verdicts_are_told(summary, validated):
    assert set(validated.info["validation"]) == {"halves", "leakage", "support", "convergence"}
    told = (validated.path / "supplement.json").read_text()
    for part in summary["parts"].values():
        assert part["sentences"][0] in read_json(validated.path / "supplement.json")["sentences"]
    assert "Half-sets: 1 of 1 directions reproduced" in told


def test_report_of_the_job_shows_its_validation(validated, job, tmp_path):
    page = cs.report(job).read_text()
    assert "Half-sets: 1 of 1 directions reproduced" in page
    stranger = tmp_path / "other"
    shutil.copytree(job.path, stranger)
    assert find_validations(cs.open_job(stranger)) == []
    with pytest.raises(CryoswayError, match="no validation of"):
        cs.report(stranger, validation=validated.path)


def test_parts_that_are_done_are_not_done_again(validated, job, monkeypatch):
    info = read_json(validated.path / "job.json")
    before = read_json(validated.path / "validation.json")
    write_json(validated.path / "job.json", {**info, "status": "running"})
    monkeypatch.setattr("cryosway.methods._validate.validate.check_leakage", None)
    again = cs.validate(
        job, validated.path, states=2, permutations=49,
        parts=["halves", "leakage", "support", "convergence"],
    )  # fmt: skip
    assert again.status == "finished"
    assert read_json(validated.path / "validation.json") == before


class TestNull:
    """The method fitted to homogeneous copies, whatever the method."""

    def test_two_states_are_found(self, job, tmp_path):
        found = cs.validate(job, tmp_path / "two", parts=["null"], nulls=3)
        assert not list(found.path.rglob("*.mrcs"))  # images of the copies are deleted
        null = read_json(found.path / "validation.json")["parts"]["null"]
        assert null["verdict"] == "heterogeneity found"
        first = found.info["heterogeneity"]["directions"][0]
        assert first["p_value"] < 0.01
        assert first["variance_explained"] > 5 * first["noise_alone"]
        assert null["smallest_p_by_counting"] == first["p_value_by_counting"] == 0.25

    def test_one_state_is_homogeneous(self, make_set, tmp_path):
        one = make_set(n=300)
        job = cs.linear(one.particles, tmp_path / "one", **QUICK)
        found = cs.validate(job, tmp_path / "null", parts=["null"], nulls=2)
        assert found.info["validation"] == {"null": "no heterogeneity found"}
        assert found.info["heterogeneity"]["verdict"] == "homogeneous"

    def test_copies_that_are_done_are_kept(self, job, tmp_path, monkeypatch):
        """The copies are the job itself here."""
        done = []

        def fit(self, number):
            if number == 2 and len(done) == 1:
                done.append(0)
                raise KeyboardInterrupt
            done.append(number)
            return self.subject.job

        monkeypatch.setattr(validate_null_module.NullTest, "_fit_copy", fit)
        for expected in ("interrupted", "finished"):
            with contextlib.suppress(KeyboardInterrupt):
                cs.validate(job, tmp_path / "null", parts=["null"], nulls=2)
            assert cs.open_job(tmp_path / "null").status == expected
        assert done == [1, 0, 2]
        assert cs.open_job(tmp_path / "null").info["heterogeneity"]["verdict"] == "homogeneous"

    def test_few_copies_leave_it_undecided(self):
        """A hundred times as much as both copies, but their spread is hardly known."""
        one = {"variance_explained": 0.2, "noise_alone": 0.002, "p_value": 0.05}
        found = validate_null_module.describe_null([one], 2, np.array([0.001, 0.003]))
        assert found["verdict"].startswith("undecided")
        assert "more --nulls" in validate_null_module.say_null(found)[0]


def test_spread_of_volumes_is_over_the_power_of_their_mean():
    """Volumes mean + z · direction with variance 4 of z, both of unit power."""
    import torch

    rng = np.random.default_rng(0)
    mean, direction = np.eye(2, 64)
    z = 2 * rng.standard_normal(800)
    volumes = torch.from_numpy((mean + z[:, None] * direction).reshape(-1, 4, 4, 4))
    found = measure_volume_spread(volumes, torch.ones(4, 4, 4, dtype=torch.bool), 3)
    np.testing.assert_allclose(found, [4, 0, 0], atol=0.4)


class TestTruth:
    def test_scores_are_those_of_the_benchmark(self, job, few, tmp_path, monkeypatch):
        monkeypatch.setattr(validate_truth_module, "_IMAGES", 3)
        truth = few.path / "truth.parquet"
        found = cs.validate(job, tmp_path / "out", parts=["truth"], truth=truth)
        assert found.info["validation"]["truth"] == "maps better than the consensus"
        score = read_json(found.path / "validation.json")["parts"]["truth"]["score"]
        assert score["over_consensus"]["difference"] > 0.02
        assert score["clusters"]["ari"] > 0.8

    def test_models_of_a_job_without_models(self, job, few, tmp_path):
        with pytest.raises(CryoswayError, match="makes no models"):
            validate_truth_module.compare_models(Subject.open(job), few.path, tmp_path, 0)

    def test_a_truth_that_is_none(self, job, tmp_path):
        with pytest.raises(CryoswayError, match="is no truth"):
            cs.validate(job, tmp_path / "out", parts=["truth"], truth=tmp_path)


class TestBadInput:
    def test_a_job_without_latents(self, few, tmp_path):
        job = cs.backproject(few.particles, tmp_path / "map", local_resolution=False)
        with pytest.raises(CryoswayError, match="holds no latents"):
            cs.validate(job, tmp_path / "out")

    def test_truth_that_is_not_given(self, job, tmp_path):
        with pytest.raises(CryoswayError, match="give --truth"):
            cs.validate(job, tmp_path / "out", parts=["truth"])

    def test_one_copy_has_no_spread(self, job, tmp_path):
        with pytest.raises(CryoswayError, match="nulls is 1"):
            cs.validate(job, tmp_path / "out", nulls=1)

    def test_a_part_that_is_unknown(self, job, tmp_path):
        with pytest.raises(CryoswayError, match="parts cannot be 'nulls'"):
            cs.validate(job, tmp_path / "out", parts=["nulls"])

    def test_an_unfinished_job(self, job, tmp_path):
        copy = tmp_path / "copy"
        shutil.copytree(job.path, copy)
        write_json(copy / "job.json", {**read_json(copy / "job.json"), "status": "failed"})
        with pytest.raises(CryoswayError, match="is failed"):
            cs.validate(copy, tmp_path / "out")

    def test_other_particles(self, job, make_set, tmp_path):
        other = make_set(n=40)
        with pytest.raises(CryoswayError, match="holds other particles"):
            cs.validate(job, tmp_path / "out", parts=["halves"], particles=other.particles)

    def test_a_volume_of_another_box(self, job, tmp_path):
        from cryosway.particles import write_map

        write_map(tmp_path / "small.mrc", np.zeros((16, 16, 16), np.float32), 4.5)
        with pytest.raises(CryoswayError, match="resample it"):
            cs.validate(job, tmp_path / "out", parts=["support"], volume=[tmp_path / "small.mrc"])


def test_several_parts_may_follow_one_name():
    """As in ``--parts null halves``; a file after ``--volume`` is one file."""
    from cryosway.cli._build import _is_list_of_choices
    from cryosway.methods._validate.options import ValidateOptions

    fields = ValidateOptions.model_fields
    assert _is_list_of_choices(fields["parts"].annotation)
    assert not _is_list_of_choices(fields["volume"].annotation)


class TestImported:
    """A job of cryoDRGN's: what needs no second training is done, and the rest is named."""

    @pytest.fixture
    def imported(self, tmp_path):
        from pathlib import Path

        data = Path(__file__).parents[1] / "data" / "cryodrgn"
        return cs.import_cryodrgn(data / "vae_fourier", tmp_path / "job")

    def test_what_can_be_done_is_done(self, imported, tmp_path):
        job = cs.validate(imported, tmp_path / "out", states=2, permutations=19)
        summary = read_json(job.path / "validation.json")
        assert set(summary["parts"]) == {"leakage", "support", "convergence"}
        assert "cannot be fitted again" in summary["skipped"]["null"]
        rows = summary["parts"]["support"]["features"]
        assert all(row["verdict"] != "supported" for row in rows)

    def test_a_part_that_cannot_be_done_is_refused(self, imported, tmp_path):
        with pytest.raises(CryoswayError, match="which cannot be fitted again here"):
            cs.validate(imported, tmp_path / "out", parts=["null"])
