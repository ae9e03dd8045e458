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
