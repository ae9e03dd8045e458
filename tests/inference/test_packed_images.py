"""Where images are kept between passes, and that they are read once."""

import numpy as np
import pytest
import torch

from cryosway.inference._packed_images import PackedImages, choose_home

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("free", "limit", "home"), [(201, 0, GPU), (199, 100, CPU), (199, 99, None)]
)
def test_a_gpu_keeps_images_that_take_half_of_it_and_the_host_what_it_is_given(
    monkeypatch, free, limit, home
):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 1000))
    assert choose_home(100, limit, GPU) == home


def test_a_cpu_keeps_no_more_than_a_third_of_its_free_memory(monkeypatch):
    monkeypatch.setattr("cryosway.inference._packed_images.available_memory_bytes", lambda: 299)
    assert choose_home(99, 1000, CPU) == CPU
    assert choose_home(100, 1000, CPU) is None


def test_every_block_is_loaded_once_and_rows_come_in_the_order_asked_for():
    calls = []

    def load(rows):
        calls.append(rows.tolist())
        values = torch.from_numpy(rows)[:, None] + 1j * torch.arange(3)
        return values.to(torch.complex64), -torch.from_numpy(rows)[:, None].expand(-1, 3).float()

    images = PackedImages(7, 3, 3, CPU, load)
    for rows in ([6, 0, 2], [5, 6], [2, 1], []):
        values, filters = images.take(np.array(rows, np.int64))
        assert values.real[:, 2].tolist() == rows
        assert values.imag[:, 2].tolist() == [2.0] * len(rows)
        assert (-filters[:, 0]).tolist() == rows
    assert sorted(calls) == [[0, 1, 2], [3, 4, 5], [6]]
