"""A validation of the job as it is now is believed before the job itself."""

import shutil

import pytest

from cryosway.engine import JobFolder, read_json, write_json
from cryosway.jobs import find_validations, open_job, read_verdict


@pytest.fixture
def job(tmp_path):
    """A job that has found nothing."""
    directions = [{"variance_explained": 0.1, "noise_alone": 0.02, "p_value": 0.02}]
    with JobFolder.start(tmp_path / "job", "linear", {}, {}) as folder:
        folder.update(heterogeneity={"verdict": "homogeneous", "directions": directions})
    return tmp_path / "job"


def change(folder, **values):
    write_json(folder / "job.json", read_json(folder / "job.json") | values)


def test_a_job_speaks_for_itself_where_nothing_lies_beside_it(job):
    found = read_verdict(open_job(job))
    assert found.homogeneous
    assert (found.real, found.validation) == (0, None)


def test_a_validation_is_believed(job, make_validation):
    folder = make_validation(job, job.parent / "val", "heterogeneous", (0.001, 0.002, 0.3))
    found = read_verdict(open_job(job))
    assert (found.word, found.real) == ("heterogeneous", 2)
    assert found.validation == folder.resolve()


def test_while_undecided_what_may_be_real_counts(job, make_validation):
    make_validation(job, job.parent / "val", "undecided", (0.02, 0.08, 0.3))
    assert read_verdict(open_job(job)).real == 2


def test_the_latest_null_test_counts(job, make_validation):
    for name, verdict, day in (("a", "heterogeneous", 2), ("b", "undecided", 1), ("c", None, 3)):
        folder = make_validation(job, job.parent / name, verdict, (0.005,))
        change(folder, updated=f"2999-01-0{day}T00:00:00+00:00")
    assert [folder.name for folder in find_validations(open_job(job))] == ["b", "a", "c"]
    assert read_verdict(open_job(job)).word == "heterogeneous"
    assert read_verdict(open_job(job), job.parent / "b").word == "undecided"


def test_what_is_of_no_finished_validation_of_this_job_is_not_believed(job, make_validation):
    folder = make_validation(job, job.parent / "val", "heterogeneous", (0.001,))
    other = shutil.copytree(job, job.parent / "other")
    assert read_verdict(open_job(other)).homogeneous
    change(folder, status="interrupted")
    assert read_verdict(open_job(job)).homogeneous
    change(folder, status="finished", updated="2001-01-01T00:00:00+00:00")  # the job is newer
    assert read_verdict(open_job(job)).homogeneous
    folder = make_validation(job, job.parent / "protein", "heterogeneous", (0.001,))
    change(folder, command="protein train")  # has a validation.json of another kind
    assert read_verdict(open_job(job)).homogeneous


def test_a_run_is_asked_by_its_validation_too(tmp_path, job, make_validation):
    with JobFolder.start(tmp_path / "run", "run", {}, {}) as folder:
        shutil.copytree(job, tmp_path / "run" / "linear")
        folder.update(stages={"linear": "linear"}, main="linear")
    make_validation(tmp_path / "run" / "linear", tmp_path / "val", "heterogeneous", (0.001,))
    assert read_verdict(open_job(tmp_path / "run")).word == "heterogeneous"
