"""Several processes by one command: their number, their end, their status."""

import sys
import time

import pytest

from cryosway import CryoswayError
from cryosway.cli import _processes
from cryosway.cli._processes import count_processes, run_processes


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["vae", "p.star", "--out", "j", "--gpus", "3"], 3),
        (["vae", "p.star", "--gpus=2"], 2),
        (["vae", "p.star"], 1),
        (["linear", "p.star", "--gpus", "3"], 1),
        (["--help"], 1),
    ],
)
def test_number_of_processes(arguments, count):
    assert count_processes(arguments) == count


def test_a_process_of_several_starts_no_others(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    assert count_processes(["vae", "p.star", "--gpus", "3"]) == 1


@pytest.mark.parametrize("value", ["many", "0", "-1", ""])
def test_a_number_is_needed(value):
    with pytest.raises(CryoswayError, match="give the number of GPUs"):
        count_processes(["vae", "p.star", "--gpus", value])


class TestRunning:
    @pytest.fixture
    def script(self, monkeypatch, tmp_path):
        """Run this code instead of the command line."""

        def use(code):
            path = tmp_path / "script.py"
            path.write_text(f"import os, pathlib, sys, time\nhere = {str(tmp_path)!r}\n{code}")
            popen = _processes.subprocess.Popen

            def replaced(command, **settings):
                return popen([sys.executable, str(path), *command[3:]], **settings)

            monkeypatch.setattr(_processes.subprocess, "Popen", replaced)
            return tmp_path

        return use

    def test_every_process_knows_its_place(self, script):
        folder = script(
            "place = [os.environ[n] for n in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE')]\n"
            "text = ' '.join([*place, *sys.argv[1:]])\n"
            "pathlib.Path(here, os.environ['RANK']).write_text(text)\n"
        )
        assert run_processes(["vae", "p.star", "--gpus", "2", "--seed", "1"], 2) == 0
        for rank in "01":
            assert (folder / rank).read_text() == f"{rank} {rank} 2 vae p.star --seed 1"

    def test_where_one_fails_the_others_end(self, script):
        script("sys.exit(2) if os.environ['RANK'] == '1' else time.sleep(60)")
        began = time.monotonic()
        status = run_processes(["vae"], 2)
        assert time.monotonic() - began < 20
        assert status == 2
