import os
import platform
import subprocess
import sys

import numpy as np
import pytest
import torch

from cryosway import CryoswayError
from cryosway.engine import (
    available_memory_bytes,
    count_cpus,
    peak_device_memory_bytes,
    peak_memory_bytes,
    select_device,
    set_threads,
)


def test_auto_is_a_device_that_works():
    assert torch.zeros(2, device=select_device("auto")).sum() == 0


def test_missing_devices_are_explained():
    with pytest.raises(CryoswayError, match=r"sees \d+ CUDA GPUs"):
        select_device("cuda:99")
    with pytest.raises(CryoswayError, match="no device called 'gpu'"):
        select_device("gpu")


def test_threads_are_set_for_torch():
    before = torch.get_num_threads()
    try:
        assert set_threads(2) == torch.get_num_threads() == 2
        with pytest.raises(CryoswayError, match="must be 1 or more, not 0"):
            set_threads(0)
    finally:
        set_threads(before)


def test_peak_memory_grows_with_what_is_used():
    before = peak_memory_bytes()
    block = np.ones(before // 8 + 4_000_000)  # more than the peak so far
    assert peak_memory_bytes() >= before + block.nbytes // 4
    del block
    assert peak_memory_bytes() > before


def test_this_machine_has_cpus_and_memory():
    assert 1 <= count_cpus() <= 4096
    assert available_memory_bytes() > 2**20


def test_no_gpu_memory_without_a_gpu():
    if not torch.cuda.is_initialized():
        assert peak_device_memory_bytes() is None


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc")
def test_freed_memory_is_kept():
    """Arrays that are freed and taken again cost no page faults."""
    program = """
import resource, sys
import numpy as np
from cryosway.engine._hardware import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def take(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        np.full(48 << 20, 1, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

take(1)
print(take(4))
"""
    environment = os.environ | {"NUMPY_MADVISE_HUGEPAGE": "0"}
    faults = {
        how: int(
            subprocess.run(
                [sys.executable, "-c", program, how],
                env=environment, check=True, capture_output=True, text=True,
            ).stdout
        )
        for how in ("keep", "leave")
    }  # fmt: skip
    assert faults["keep"] < 0.1 * faults["leave"]
