import errno
import os
import shutil
import subprocess

import numpy as np
import pytest

from cryosway import CryoswayError
from cryosway.engine import JobFolder, explain_os_errors, read_job_info, write_json


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 1 MB, where this machine lets us mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("how", ["checkpoint", "json", "numpy", "parquet"])
def test_full_disk_is_one_sentence(tiny_disk, how):
    noise = np.random.default_rng(0).integers(0, 255, 2_000_000, dtype=np.uint8)
    with (
        pytest.raises(CryoswayError, match=r"disk that holds .* is full .*resumes"),
        JobFolder.start(tiny_disk / "job", "a") as job,
    ):
        if how == "checkpoint":
            job.save_checkpoint("big", {"x": noise})
        elif how == "json":
            write_json(job.path / "big.json", noise)
        elif how == "numpy":
            noise.tofile(job.path / "big.npy")
        else:
            import pandas as pd

            from cryosway.engine import write_table

            write_table(job.path / "big.parquet", pd.DataFrame({"x": noise}))
    assert not list(tiny_disk.rglob(".tmp-*"))
    (tiny_disk / "job" / "big.npy").unlink(missing_ok=True)
    with JobFolder.start(tiny_disk / "job", "a"):
        pass
    assert read_job_info(tiny_disk / "job")["status"] == "finished"


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_forbidden_folder_is_one_sentence(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(CryoswayError, match=r"no permission for .*choose another --out"):
        JobFolder.start(tmp_path / "job", "a").__enter__()


def test_read_only_disk_is_one_sentence(tiny_disk):
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    with pytest.raises(CryoswayError, match=r"file system is read-only; choose another --out"):
        JobFolder.start(tiny_disk / "job", "a").__enter__()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "is full"),
        (OSError("16384 requested and 100 written"), "is full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "is full"),
        (
            PermissionError(errno.EACCES, "Permission denied", "x.star"),
            r"no permission for x\.star",
        ),
        (OSError(errno.EROFS, "Read-only file system", "x.star"), r"write x\.star.*read-only"),
    ],
)
def test_each_failure_of_the_disk_is_recognised(tmp_path, error, words):
    with pytest.raises(CryoswayError, match=words), explain_os_errors(tmp_path / "new"):
        raise error


@pytest.mark.parametrize("error", [FileNotFoundError(2, "none", "a"), ValueError("b"), KeyError(1)])
def test_other_failures_pass(tmp_path, error):
    with pytest.raises(type(error)), explain_os_errors(tmp_path):
        raise error
