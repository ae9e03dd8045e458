"""The verdict says in plain sentences what the folder holds."""

import pytest

from cryosway.engine import read_json, write_json
from cryosway.report import gather_contents
from cryosway.report._spectrum import format_p_value
from cryosway.report._verdict import format_particles, spell_count, write_verdict


def test_heterogeneity_comes_first_with_its_numbers(tmp_path, make_report_job):
    sentences = write_verdict(gather_contents(make_report_job(tmp_path / "j")))
    assert sentences[0] == (
        "The particles are heterogeneous: one direction of structural change stands out from noise."
    )
    assert sentences[1] == (
        "Direction 1 holds 31 % of the map's power, where noise alone would give 2.1 % (p < 0.001)."
    )
    assert "7.3 Å" in sentences[2]
    assert "two clusters of 151 to 152 particles, whose maps reach 8.0 Å" in sentences[3]


def test_homogeneity_is_said_as_plainly(tmp_path, make_report_job):
    verdict = {"verdict": "homogeneous", "directions": [{"p_value": 0.34}, {"p_value": 0.8}]}
    sentences = write_verdict(gather_contents(make_report_job(tmp_path / "j", verdict=verdict)))
    assert sentences[0].startswith("No heterogeneity was found")
    assert "p = 0.3" in sentences[0]
    assert not any("Direction 1" in sentence for sentence in sentences)


def test_more_may_vary_than_the_map_holds(tmp_path, make_report_job):
    direction = {"variance_explained": 12.0, "noise_alone": 3.0, "p_value": 0.004}
    verdict = {"verdict": "heterogeneous", "directions": [direction]}
    sentences = write_verdict(gather_contents(make_report_job(tmp_path / "j", verdict=verdict)))
    assert "1,200 % of the map's power, where noise alone would give 300 %" in sentences[1]


def test_what_two_copies_cannot_tell_is_undecided(tmp_path, make_report_job):
    direction = {"variance_explained": 0.115, "noise_alone": 0.02, "p_value": 0.022}
    verdict = {"verdict": "undecided", "directions": [direction]}
    first, second, *_ = write_verdict(
        gather_contents(make_report_job(tmp_path / "j", verdict=verdict))
    )
    assert "undecided" in first and "--nulls" in first
    assert second.startswith("Direction 1 holds 12 % of the map's power")


def test_a_validation_goes_before_the_job_itself(tmp_path, make_report_job, make_validation):
    verdict = {"verdict": "homogeneous", "directions": [{"p_value": 0.02}]}
    job = make_report_job(tmp_path / "j", verdict=verdict)
    make_validation(job, tmp_path / "val", "heterogeneous", (0.001, 0.002))
    sentences = write_verdict(gather_contents(job))
    assert sentences[0] == (
        "The particles are heterogeneous: two directions of structural change stand out from "
        "noise, by the validation in val."
    )
    assert "holds 10 % of the map's power" in sentences[1]


def test_what_a_model_lacks_and_whether_its_motion_is_real_come_before_the_rest(
    tmp_path, make_report_job
):
    folder = make_report_job(tmp_path / "j", "structural")
    told = {
        "heterogeneity": None,
        "composition": {"sentence": "chain B is missing in 49 % of the particles"},
        "held_out": {"sentence": "the motion is in the data"},
        "halves": {"gain_over_mean": 3.0},
    }
    write_json(folder / "job.json", read_json(folder / "job.json") | told)
    write_json(folder / "supplement.json", {"title": "Halves", "sentences": ["First.", "Second."]})
    assert write_verdict(gather_contents(folder))[:3] == [
        "Chain B is missing in 49 % of the particles.",
        "The motion is in the data.",
        "First.",
    ]


def test_without_latents_only_the_resolution_is_told(tmp_path, make_report_job):
    folder = make_report_job(tmp_path / "j", "backproject", latents=False)
    (sentence,) = write_verdict(gather_contents(folder))
    assert sentence.startswith("The consensus map reaches 7.3 Å")


def test_an_unfinished_job_says_so_first(tmp_path, make_report_job):
    folder = make_report_job(tmp_path / "j")
    info = read_json(folder / "job.json")
    write_json(folder / "job.json", info | {"status": "interrupted"})
    assert "not finished" in write_verdict(gather_contents(folder))[0]


def test_a_failed_check_is_not_buried(make_run):
    assert "Attention: Sign is wrong." in write_verdict(gather_contents(make_run()))


@pytest.mark.parametrize(
    ("p_value", "text"), [(0.0, "p < 0.001"), (0.0123, "p = 0.012"), (0.44, "p = 0.4")]
)
def test_p_values_have_the_digits_that_count(p_value, text):
    assert format_p_value(p_value) == text


def test_counts_are_spelled():
    assert spell_count(1, "direction") == "one direction"
    assert spell_count(12, "direction") == "12 directions"
    assert (format_particles(873.2), format_particles(123_456)) == ("873", "123,000")
