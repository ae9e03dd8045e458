import numpy as np
import pytest
import torch

from cryosway import CryoswayError
from cryosway.engine import load_tensors, save_tensors
from cryosway.engine._checkpoints import read_header

BASE = torch.arange(12.0).reshape(3, 4)
TENSORS = {
    "float64": np.random.default_rng(0).normal(size=(2, 3)),
    "complex64": np.array([1 + 2j, 3 - 1j], dtype=np.complex64),
    "complex128": np.array([[1 + 2j]]),
    "bool": np.array([True, False]),
    "int64": np.arange(4),
    "scalar": np.array(3.5),
    "empty": np.zeros((0, 3), dtype=np.float32),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "torch bfloat16": torch.ones(3, dtype=torch.bfloat16),
    "torch complex": torch.tensor([1j, 2.0]),
    "torch view": BASE[:, 1],
    "torch same memory": BASE,
    "torch transposed": BASE.T,
}


def test_what_was_saved_is_what_is_loaded(tmp_path):
    save_tensors(tmp_path / "a.safetensors", TENSORS, {"step": np.int64(3), "note": "half way"})
    loaded, meta = load_tensors(tmp_path / "a.safetensors")
    assert meta == {"step": 3, "note": "half way"}
    assert read_header(tmp_path / "a.safetensors") == meta
    assert set(loaded) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert type(loaded[name]) is type(tensor), name
        assert loaded[name].dtype == tensor.dtype, name
        assert loaded[name].shape == tensor.shape, name
        assert (loaded[name] == tensor).all(), name


def test_read_only_arrays_are_saved(tmp_path):
    array = np.arange(3.0)
    array.flags.writeable = False
    save_tensors(tmp_path / "a.safetensors", {"x": array}, {})
    assert load_tensors(tmp_path / "a.safetensors")[0]["x"].tolist() == [0, 1, 2]


def test_damaged_checkpoint_is_explained(tmp_path):
    path = tmp_path / "a.safetensors"
    save_tensors(path, TENSORS, {})
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CryoswayError, match=r"is damaged .*--no-resume"):
        load_tensors(path)
    path.write_bytes(b"\x00")
    assert read_header(path) == {}
    with pytest.raises(CryoswayError, match="does not exist"):
        load_tensors(tmp_path / "b.safetensors")
