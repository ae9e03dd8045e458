import sys

import numpy as np
import pytest
import torch

from cryosway.optics import fft3_half
from cryosway.protein import write_structure
from cryosway.simulate import Potential, truth_volume

BOX, PIXEL = 24, 3.0


def test_transform_is_the_sum_over_atoms(blob):
    transform = fft3_half(torch.from_numpy(truth_volume(blob, BOX, PIXEL)).double()).numpy()
    sigma = 0.225 * 3.0 / PIXEL
    for index in ((0, 0, 0), (1, 2, 3), (-2, 5, 1), (11, -11, 11)):
        kz, ky, kx = np.array(index) / BOX
        x, y, z = blob.coordinates.T / PIXEL
        phases = np.exp(-2j * np.pi * (kx * x + ky * y + kz * z))
        damping = np.exp(-2 * np.pi**2 * sigma**2 * (kx**2 + ky**2 + kz**2))
        expected = damping * (phases * blob.atomic_numbers).sum()
        assert abs(transform[index] - expected) < 1e-5 * blob.atomic_numbers.sum()


def test_nufft_and_direct_sum_agree(blob, monkeypatch):
    pytest.importorskip("finufft")
    fast = truth_volume(blob, BOX, PIXEL, potential=Potential("electron", solvent=True))
    monkeypatch.setattr(sys.modules[truth_volume.__module__], "has_finufft", lambda: False)
    direct = truth_volume(blob, BOX, PIXEL, potential=Potential("electron", solvent=True))
    assert np.abs(fast - direct).max() < 1e-5 * np.abs(direct).max()


def test_total_is_the_sum_of_weights_and_peak_lies_at_the_atom(blob):
    assert truth_volume(blob, BOX, PIXEL).sum() == pytest.approx(
        blob.atomic_numbers.sum(), rel=1e-5
    )
    one = blob[:1].with_coordinates(np.array([[6.0, -3.0, 9.0]]))
    peak = np.unravel_index(truth_volume(one, BOX, PIXEL).argmax(), (BOX,) * 3)
    assert peak == (BOX // 2 + 3, BOX // 2 - 1, BOX // 2 + 2)


def test_reads_a_structure_file(blob, tmp_path):
    write_structure(tmp_path / "blob.cif", blob)
    from_file = truth_volume(tmp_path / "blob.cif", BOX, PIXEL)
    np.testing.assert_allclose(from_file, truth_volume(blob, BOX, PIXEL), atol=0.05)
