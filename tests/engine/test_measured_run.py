"""What a command costs is measured in a process of its own, and kept."""

import sys

import pytest

from cryosway import CryoswayError
from cryosway.engine import recall_cost, run_measured


def test_the_cost_of_a_command_is_its_own(tmp_path):
    code = "x = bytearray(60_000_000); print(sum(range(3_000_000)))"
    log = tmp_path / "job.log"
    cost = run_measured([sys.executable, "-c", code], log, threads=1)
    assert 55 < cost.peak_memory_mb < 150  # not that of the tests, with torch in it
    assert 0 < cost.cpu_s <= cost.wall_s + 0.5
    assert log.read_text().strip() == str(sum(range(3_000_000)))
    assert recall_cost(log) == cost


def test_threads_are_limited(tmp_path):
    code = "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['NUMBA_NUM_THREADS'])"
    run_measured([sys.executable, "-c", code], tmp_path / "job.log", threads=3)
    assert (tmp_path / "job.log").read_text().split() == ["3", "3"]


def test_a_failure_shows_the_end_of_the_log_and_keeps_no_cost(tmp_path):
    log = tmp_path / "job.log"
    run_measured([sys.executable, "-c", "pass"], log)
    with pytest.raises(CryoswayError, match="out of coffee"):
        run_measured([sys.executable, "-c", "raise SystemExit('out of coffee')"], log)
    assert recall_cost(log) is None
