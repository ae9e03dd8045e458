import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from cryosway import CryoswayError, CryoswayWarning
from cryosway.engine import (
    FolderLock,
    JobFolder,
    Options,
    TimeLimitError,
    is_locked,
    read_job_info,
    read_json,
)

SCRIPT = Path(__file__).with_name("staged_job.py")


def start_walk(folder, seconds):
    """Start a walk to which every signal matters, even where the tests run under nohup."""
    command = [sys.executable, SCRIPT, folder, str(seconds)]
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)
    finally:
        signal.signal(signal.SIGHUP, before)


def wait_for_rows(folder, n):
    """Wait until the job has written n metrics rows."""
    metrics = folder / "metrics.csv"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if metrics.exists() and len(metrics.read_text().splitlines()) > n:
            return
        time.sleep(0.02)
    pytest.fail("the job did not get going")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The walk that nobody interrupts: its answer and its metrics."""
    folder = tmp_path_factory.mktemp("walk") / "job"
    assert start_walk(folder, 0).wait() == 0
    return read_json(folder / "answer.json"), (folder / "metrics.csv").read_text()


@pytest.mark.parametrize("rows", [5, 27])
def test_killed_job_resumes_to_the_same_answer(tmp_path, undisturbed, rows):
    folder = tmp_path / "job"
    child = start_walk(folder, 0.02)
    wait_for_rows(folder, rows)
    child.kill()
    child.wait()
    assert read_job_info(folder)["status"] == "running"  # SIGKILL leaves no time to say more
    assert not is_locked(folder)
    assert start_walk(folder, 0).wait() == 0
    info = read_job_info(folder)
    assert (info["status"], info["attempts"]) == ("finished", 2)
    assert read_json(folder / "answer.json") == undisturbed[0]
    assert (folder / "metrics.csv").read_text() == undisturbed[1]


@pytest.mark.parametrize(
    ("number", "exit_status"),
    [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, -signal.SIGINT)],
)
def test_polite_signals_leave_the_job_interrupted(tmp_path, undisturbed, number, exit_status):
    folder = tmp_path / "job"
    child = start_walk(folder, 0.02)
    wait_for_rows(folder, 3)
    child.send_signal(number)
    child.wait()
    assert child.returncode == exit_status
    assert read_job_info(folder)["status"] == "interrupted"
    assert start_walk(folder, 0).wait() == 0
    assert read_json(folder / "answer.json") == undisturbed[0]


def test_second_writer_is_told_who_writes(tmp_path):
    folder = tmp_path / "job"
    child = start_walk(folder, 0.2)
    try:
        wait_for_rows(folder, 1)
        assert is_locked(folder)
        with pytest.raises(CryoswayError, match=rf"written by process {child.pid} on "):
            JobFolder.start(folder, "walk", {"steps": 20, "seed": 0}).__enter__()
    finally:
        child.kill()
        child.wait()


def test_second_writer_in_the_same_process_is_refused(tmp_path):
    with JobFolder.start(tmp_path, "a"):
        with pytest.raises(CryoswayError, match=f"process {os.getpid()}"):
            JobFolder.start(tmp_path, "a").__enter__()
        assert read_job_info(tmp_path)["status"] == "running"
    assert read_job_info(tmp_path)["status"] == "finished"


def test_a_step_may_write_in_the_folder_of_the_job_that_calls_it(tmp_path):
    with JobFolder.start(tmp_path / "run", "a"):
        with FolderLock(tmp_path / "run" / ".." / "run"):
            assert is_locked(tmp_path / "run")
        assert is_locked(tmp_path / "run")  # leaving the inner block does not unlock
    assert not is_locked(tmp_path / "run")


def test_another_thread_is_another_writer(tmp_path):
    refusals = []

    def write():
        try:
            FolderLock(tmp_path).__enter__()
        except CryoswayError as error:
            refusals.append(str(error))

    with FolderLock(tmp_path):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert len(refusals) == 1


def test_forked_child_does_not_hold_the_lock(tmp_path):
    with JobFolder.start(tmp_path, "a"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # fork in a threaded process
            child = os.fork()
        if child == 0:
            time.sleep(20)
            os._exit(0)
        assert is_locked(tmp_path)
    try:
        assert not is_locked(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_job_json_tells_the_whole_request(tmp_path):
    config = {"components": 4, "seed": 7, "mask": Path("m.mrc"), "device": "cpu"}
    with JobFolder.start(tmp_path, "linear", config, {"particles": "abc"}) as job:
        with job.stage("fit"):
            job.update(pixel_size=np.float32(1.5))
        assert not job.resumed
    info = json.loads((tmp_path / "job.json").read_text())
    assert info["format"], info["format_version"] == ("cryosway-job", 1)
    assert info["config"] == {**config, "mask": "m.mrc"}
    assert info["inputs"] == {"particles": "abc"}
    assert (info["seed"], info["pixel_size"], info["command"]) == (7, 1.5, "linear")
    assert set(info["timings"]) == {"fit", "total"}
    assert info["peak_memory_bytes"] > 1e7
    assert {"cryosway", "python", "torch", "numpy"} <= set(info["versions"])
    assert "fit ..." in (tmp_path / "log.txt").read_text()


def test_failure_is_noted_and_resumed(tmp_path):
    with (
        pytest.raises(ZeroDivisionError),
        JobFolder.start(tmp_path, "a", {"device": "cpu"}) as job,
    ):
        job.save_checkpoint("state", {"x": np.arange(3)})
        1 / 0  # noqa: B018
    info = read_job_info(tmp_path)
    assert (info["status"], info["error"]) == ("failed", "division by zero")
    with JobFolder.start(tmp_path, "a", {"device": "cuda"}) as job:  # another device is no matter
        tensors, meta = job.load_checkpoint("state")
        assert job.resumed
        assert meta == {}
        np.testing.assert_array_equal(tensors["x"], [0, 1, 2])
        assert job.load_checkpoint("other") is None
        job.delete_checkpoint("state")
        assert job.load_checkpoint("state") is None
    assert "error" not in read_job_info(tmp_path)


def test_time_limit_leaves_the_job_interrupted_and_may_change(tmp_path):
    limits = ({"n": 1, "time_limit": 10, "gpus": 1}, {"n": 1, "time_limit": 20, "gpus": 4})
    with (
        pytest.raises(TimeLimitError, match="the time is up"),
        JobFolder.start(tmp_path, "a", limits[0]) as job,
    ):
        time.sleep(0.01)
        assert 0.01 <= job.elapsed_s < 10
        message = "the time is up"
        raise TimeLimitError(message)
    info = read_job_info(tmp_path)
    assert info["status"] == "interrupted"
    assert "error" not in info
    with JobFolder.start(tmp_path, "a", limits[1]) as job:
        assert job.resumed


def test_finished_job_stands(tmp_path):
    with JobFolder.start(tmp_path, "a", {"n": 1}):
        pass
    before = (tmp_path / "job.json").read_bytes()
    with JobFolder.start(tmp_path, "a", {"n": 1}) as job:
        assert job.already_finished
    assert (tmp_path / "job.json").read_bytes() == before


@pytest.mark.parametrize(
    ("command", "config", "inputs", "words"),
    [
        ("b", {"n": 1}, {"p": "x"}, "it is a a job, not b"),
        ("a", {"n": 2}, {"p": "x"}, "n=1, not 2"),
        ("a", {"n": 1}, {"p": "y"}, r"its input was another \(p\)"),
    ],
)
def test_another_request_needs_overwrite(tmp_path, command, config, inputs, words):
    with JobFolder.start(tmp_path, "a", {"n": 1}, {"p": "x"}):
        (tmp_path / "old.txt").touch()
        (tmp_path / "sub").mkdir()
        (tmp_path / "kept").mkdir()
    with pytest.raises(CryoswayError, match=f"{words}.*--overwrite"):
        JobFolder.start(tmp_path, command, config, inputs).__enter__()
    with JobFolder.start(tmp_path, command, config, inputs, overwrite=True, keep=["kept"]) as job:
        assert not job.already_finished
        assert not job.resumed
        assert not (tmp_path / "old.txt").exists()
        assert not (tmp_path / "sub").exists()
        assert (tmp_path / "kept").exists()


def test_no_resume_starts_afresh(tmp_path):
    with JobFolder.start(tmp_path, "a") as job:
        job.save_checkpoint("state", {"x": np.zeros(1)})
        job.metrics(loss=1)
    with JobFolder.start(tmp_path, "a", resume=False) as job:
        assert job.load_checkpoint("state") is None
        assert not (tmp_path / "metrics.csv").exists()


def test_folder_of_strangers_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(CryoswayError, match=r"thesis\.tex"):
        JobFolder.start(tmp_path, "a", overwrite=True).__enter__()
    assert (tmp_path / "thesis.tex").read_text() == "years"


def test_input_inside_the_folder_is_not_deleted(tmp_path):
    star = tmp_path / "particles.star"
    with JobFolder.start(tmp_path, "simulate"):
        star.write_text("data_")
    with pytest.raises(CryoswayError, match=r"particles\.star, which is the input"):
        JobFolder.start(tmp_path, "a", {}, {"path": str(star)}, overwrite=True).__enter__()
    assert star.exists()


def test_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "out").write_text("")
    for path in (tmp_path / "out", tmp_path / "out" / "deeper"):
        with pytest.raises(CryoswayError, match="a file is in its place"):
            JobFolder.start(path, "a").__enter__()


def test_metrics_take_new_columns(tmp_path):
    with JobFolder.start(tmp_path, "a") as job:
        job.metrics(step=0, loss=2.5)
        job.metrics(step=1, fsc=0.9)
        job.metrics(step=2, loss=1.5)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows == [["step", "loss", "fsc"], ["0", "2.5", ""], ["1", "", "0.9"], ["2", "1.5", ""]]


def test_decisions_are_replaced_by_name(tmp_path):
    with JobFolder.start(tmp_path, "a") as job:
        job.decide("mask", "auto", "no mask was given")
        job.decide("components", 3, "noise gives fewer")
        job.decide("components", 4, "half-sets agree on four")
    entries = read_json(tmp_path / "decisions.json")
    assert [(entry["what"], entry["value"]) for entry in entries] == [
        ("mask", "auto"),
        ("components", 4),
    ]


def test_warnings_are_logged_and_still_shown(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: shown.append(str(message)))
    with JobFolder.start(tmp_path, "a"), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("beam tilt is not applied", CryoswayWarning, stacklevel=1)
    assert shown == ["beam tilt is not applied"]
    assert "warning: beam tilt is not applied" in (tmp_path / "log.txt").read_text()


def test_leftovers_of_a_killed_write_are_removed(tmp_path):
    with JobFolder.start(tmp_path, "a", {"n": 1}):
        (tmp_path / "volumes").mkdir()
        (tmp_path / "volumes" / ".tmp-1-mean.mrc").touch()
    with JobFolder.start(tmp_path, "a", {"n": 1}):
        assert not (tmp_path / "volumes" / ".tmp-1-mean.mrc").exists()


@pytest.mark.parametrize("text", ['{"format": "cryosway-job", "for', "", "\xff\x00"])
def test_truncated_job_json_is_explained(tmp_path, text):
    (tmp_path / "job.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CryoswayError, match=r"job\.json is damaged or cut short"):
        read_job_info(tmp_path)
    with pytest.raises(CryoswayError, match=r"job\.json is damaged or cut short"):
        JobFolder.start(tmp_path, "a").__enter__()


def test_newer_format_is_explained(tmp_path):
    info = {"format": "cryosway-job", "format_version": 2, "versions": {"cryosway": "9.1"}}
    (tmp_path / "job.json").write_text(json.dumps(info))
    with pytest.raises(CryoswayError, match=r"newer than the 1 .*cryosway 9\.1: update cryosway"):
        read_job_info(tmp_path)


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": "other"}'])
def test_json_of_another_program_is_no_job(tmp_path, text):
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(CryoswayError, match="not of a cryosway job"):
        read_job_info(tmp_path)


def test_folder_without_job_json_is_no_job(tmp_path):
    with pytest.raises(CryoswayError, match=r"holds no job\.json"):
        read_job_info(tmp_path)
    with pytest.raises(CryoswayError, match="does not exist"):
        read_job_info(tmp_path / "nowhere")


def test_where_inputs_are_is_noted_and_may_change(tmp_path, monkeypatch):
    """Fingerprints say whether an input is the same; where it lies is only for whoever looks."""

    class CountOptions(Options):
        to: int = 3
        mask: Path | None = None
        seed: int = 0

    options = CountOptions(mask=Path("mask.mrc"))
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        noted = {"particles": [Path("a.star"), Path("b.star")]}
        with (
            pytest.raises(ZeroDivisionError),
            JobFolder.start(tmp_path / "job", "count", options, {"a": "0"}, sources=noted) as job,
        ):
            raise ZeroDivisionError
        assert job.resumed == (folder == "there")
        info, here = read_job_info(tmp_path / "job"), tmp_path / folder
        assert info["sources"] == {
            "mask": str(here / "mask.mrc"),
            "particles": [str(here / "a.star"), str(here / "b.star")],
        }
        assert info["chosen"] == ["mask"]
        assert info["config"] == {"to": 3, "mask": "mask.mrc", "seed": 0}
