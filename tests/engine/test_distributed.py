import csv
import dataclasses
import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cryosway import CryoswayError
from cryosway.engine import (
    JobFolder,
    ProcessGroup,
    load_tensors,
    open_process_group,
    read_job_info,
    share_job,
    train,
)
from cryosway.engine._distributed import find_place

SCRIPT = Path(__file__).with_name("distributed_training.py")
TRAINING = Path(__file__).with_name("training_job.py")


def free_port():
    with socket.socket() as sock:
        sock.bind(("localhost", 0))
        return sock.getsockname()[1]


def run_together(size, folder):
    """Start processes as torchrun does, and wait for them."""
    shared = {"WORLD_SIZE": str(size), "MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port())}
    children = [
        subprocess.Popen(
            [sys.executable, SCRIPT, TRAINING, folder],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    for child in children:
        _, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors
        assert "Warning" not in errors


def read_losses(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [
            (row["over"], int(row["step"]), float(row["loss"]), float(row["largest"]))
            for row in csv.DictReader(file)
        ]


def test_two_processes_give_what_one_gives(tmp_path):
    """Networks and tables, shares of unequal size, and a last batch with a single row."""
    names = runpy.run_path(str(TRAINING))
    step = names["SineStep"](noise=0, dtype=torch.float64)
    plan = dataclasses.replace(names["PLAN"], batch_size=11)
    with JobFolder.start(tmp_path / "one", "sine", {}) as job:
        train(plan, step, 89, job, torch.device("cpu"))
    run_together(2, tmp_path / "two")
    first, _ = load_tensors(tmp_path / "two" / "checkpoints" / "result.safetensors")
    second, _ = load_tensors(tmp_path / "two-1.safetensors")
    for name, expected in step.module.state_dict().items():
        torch.testing.assert_close(first[name], expected, rtol=1e-6, atol=1e-9)
        assert torch.equal(first[name], second[name])
    one, two = read_losses(tmp_path / "one"), read_losses(tmp_path / "two")
    assert [row[:2] for row in one] == [row[:2] for row in two]
    np.testing.assert_allclose([row[2:] for row in one], [row[2:] for row in two], rtol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16])
def test_shares_make_up_the_mean(count):
    rows = np.arange(count)
    device = torch.device("cpu")
    shares = [ProcessGroup(rank, 3, device).share_rows(rows) for rank in range(3)]
    assert all(len(mine) for mine, _ in shares)
    assert sum(weight for _, weight in shares) == pytest.approx(1)
    assert sum(weight * mine.mean() for mine, weight in shares) == pytest.approx(rows.mean())


class ToldGroup:
    """A process of a group whose first one has told something."""

    def __init__(self, rank, told=None):
        self.rank, self.told = rank, told

    def tell_all(self, value):
        self.told = self.told if self.rank else value
        return self.told


def test_job_is_started_by_the_first_process_for_all(tmp_path):
    with share_job(None, JobFolder.start(tmp_path / "alone", "a")) as job:
        assert job.path == tmp_path / "alone"
    first = ToldGroup(0)
    with share_job(first, JobFolder.start(tmp_path / "job", "a")) as job:
        assert job.path == tmp_path / "job"
        assert first.told == ""
    with share_job(ToldGroup(1, first.told), JobFolder.start(tmp_path / "other", "a")) as job:
        assert job is None
    assert not (tmp_path / "other").exists()
    assert read_job_info(tmp_path / "job")["status"] == "finished"


def test_job_that_cannot_start_ends_all_processes(tmp_path):
    (tmp_path / "thesis.tex").touch()
    first = ToldGroup(0)
    with pytest.raises(CryoswayError, match="thesis"):
        share_job(first, JobFolder.start(tmp_path, "a")).__enter__()
    with pytest.raises(CryoswayError, match="thesis"):
        share_job(ToldGroup(1, first.told), JobFolder.start(tmp_path, "a")).__enter__()


def test_failure_inside_a_shared_job_is_the_jobs(tmp_path):
    with pytest.raises(ZeroDivisionError), share_job(ToldGroup(0), JobFolder.start(tmp_path, "a")):
        1 / 0  # noqa: B018
    assert read_job_info(tmp_path)["status"] == "failed"


def test_process_alone_has_no_group(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    with open_process_group("cpu") as group:
        assert group is None


def test_place_under_torchrun_and_srun():
    torchrun = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "n1"}
    torchrun["MASTER_PORT"] = "29400"
    assert find_place({**torchrun, "SLURM_PROCID": "0"}) == torchrun
    srun = {"SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "2"}
    srun |= {"SLURM_STEP_NUM_NODES": "1", "SLURM_STEP_NODELIST": "n7", "SLURM_JOB_ID": "70123"}
    assert find_place(srun) == {
        "RANK": "1",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "30123",
    }
    assert find_place({**torchrun, "RANK": "0", "WORLD_SIZE": "1"}) is None
    assert find_place({}) is None


def test_first_machine_of_several_is_asked_of_slurm(tmp_path, monkeypatch):
    srun = {"SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "8"}
    srun |= {"SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NODELIST": "gpu[07-08]"}
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CryoswayError, match=r"gpu\[07-08\] cannot be found out; set MASTER_ADDR"):
        find_place(srun)
    assert find_place({**srun, "MASTER_ADDR": "gpu07"})["MASTER_ADDR"] == "gpu07"
    scontrol = tmp_path / "scontrol"
    scontrol.write_text("#!/bin/sh\necho gpu07\necho gpu08\n")
    scontrol.chmod(0o755)
    assert find_place(srun)["MASTER_ADDR"] == "gpu07"
