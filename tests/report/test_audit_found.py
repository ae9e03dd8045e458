"""The report of a structural job, or of a run, shows the audit that lies in it or beside it."""

import hashlib

import pytest

from cryosway.engine import JobFolder, read_json, write_json
from cryosway.report import gather_contents
from cryosway.report._pictures import Pictures
from cryosway.report._validation import make_audit_section

WEIGHTS = b"weights"


def write_audit(folder, says, weights=WEIGHTS, year=2026):
    inputs = {"structural": hashlib.sha256(weights).hexdigest()}
    with JobFolder.start(folder, "audit", {}, inputs):
        write_json(folder / "audit.json", {})
        supplement = {"title": "What the data support", "sentences": [says]}
        write_json(folder / "supplement.json", supplement)
    info = read_json(folder / "job.json")
    write_json(folder / "job.json", {**info, "updated": f"{year}-01-01T00:00:00+00:00"})


def show(folder):
    contents = gather_contents(folder)
    return make_audit_section(contents, Pictures(folder / "figures"))


@pytest.fixture
def run(tmp_path):
    """A run whose main step is structural."""
    root = tmp_path / "run"
    with JobFolder.start(root, "run", {}, {}) as job:
        with JobFolder.start(root / "structural", "structural", {}, {}):
            (root / "structural" / "model.safetensors").write_bytes(WEIGHTS)
        job.update(stages={"structural": "structural", "audit": "audit"}, main="structural")
    return root


def test_an_audit_beside_the_job_or_in_the_run_is_found(run):
    assert show(run) == ""
    write_audit(run.parent / "of_another", "Not this.", b"other weights")
    assert show(run) == ""
    write_audit(run.parent / "beside", "The motion is there.")
    assert "The motion is there." in show(run)
    write_audit(run / "checked", "A later one.", year=2027)
    assert "A later one." in show(run) and "The motion is there." not in show(run)
    assert "A later one." in show(run / "structural")


def test_the_audit_that_is_a_step_is_shown_once(run):
    """The step's own section has it."""
    write_audit(run / "audit", "The motion is there.")
    assert gather_contents(run).audit is not None
    assert show(run) == ""
    assert "The motion is there." in show(run / "structural")


def test_a_job_without_a_model_has_no_audit(tmp_path):
    with JobFolder.start(tmp_path / "job", "linear", {}, {}):
        pass
    assert gather_contents(tmp_path / "job").audit is None
