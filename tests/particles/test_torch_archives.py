"""Weights of PyTorch become arrays, and nothing in their files is run."""

import collections
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from cryosway import CryoswayError
from cryosway.particles import load_torch_archive

RUNS_NOTHING = "was refused: a weights file of PyTorch is expected, but it asks for"


class Malice:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def save(request, tmp_path):
    """Write as today's PyTorch does, or as PyTorch before 1.6 did."""

    def write(content):
        path = tmp_path / "weights.pkl"
        torch.save(content, path, _use_new_zipfile_serialization=request.param)
        return path

    return write


def test_what_was_saved_is_read(save):
    base = torch.arange(12.0)
    content = {
        "epoch": 3,
        "norm": [0.0, np.float64(21.5)],
        "state": collections.OrderedDict(
            a=base.view(3, 4),
            transposed=base.view(3, 4).T,
            part=base[2:5],
            parameter=torch.nn.Parameter(torch.ones(2)),
            empty=torch.zeros(0, 3),
            number=torch.tensor(7),
            flags=torch.tensor([True, False]),
            half=torch.full((2,), 0.5, dtype=torch.half),
        ),
    }
    read = load_torch_archive(save(content))
    assert (read["epoch"], read["norm"]) == (3, [0.0, 21.5])
    assert list(read["state"]) == list(content["state"])
    for name, tensor in content["state"].items():
        np.testing.assert_array_equal(read["state"][name], tensor.detach().numpy())
        assert read["state"][name].dtype == tensor.detach().numpy().dtype


def test_a_real_module(save):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimiser = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 3)).sum().backward()
    optimiser.step()
    content = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
    read = load_torch_archive(save(content))
    np.testing.assert_array_equal(read["model"]["0.weight"], model[0].weight.detach().numpy())
    assert read["optimiser"]["state"][0]["exp_avg"].shape == (4, 3)


@pytest.mark.parametrize(
    "make_bad",
    [
        lambda marker: Malice(os.system, f"touch {marker}"),
        lambda marker: {"state": [torch.ones(2), Malice(Path.touch, marker)]},
        lambda marker: collections.OrderedDict(a=Malice(eval, f"open({str(marker)!r}, 'w')")),
        lambda marker: Malice(torch.hub.load_state_dict_from_url, f"file://{marker}"),
    ],
)
def test_malicious_file_is_refused_and_not_run(save, tmp_path, make_bad):
    marker = tmp_path / "harm"
    path = save(make_bad(marker))
    with pytest.raises(CryoswayError, match=RUNS_NOTHING):
        load_torch_archive(path)
    assert not marker.exists()


def write_archive(path, shape, strides, offset=0, key="0", count=4, **how):
    """Write an archive of one tensor, with a description that torch.save would never make."""

    class Storage:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            kind = ("storage", torch.FloatStorage, key, "cpu", count)
            return kind if isinstance(value, Storage) else None

    tensor = Malice(
        torch._utils._rebuild_tensor_v2,
        *(Storage(), offset, shape, strides, False, collections.OrderedDict()),
    )
    with zipfile.ZipFile(path, "w", **how) as archive:
        with archive.open("a/data.pkl", "w") as file:
            Pickler(file, 2).dump(tensor)
        archive.writestr("a/data/0", np.arange(4, dtype="f4").tobytes())
    return path


def test_tensors_stay_within_their_storage(tmp_path):
    path = tmp_path / "weights.pkl"
    np.testing.assert_array_equal(
        load_torch_archive(write_archive(path, (2, 2), (2, 1))), [[0, 1], [2, 3]]
    )
    for wrong in [((5,), (1,)), ((2, 2), (3, 1)), ((1,), (1,), 4), ((2,), (1 << 40,))]:
        with pytest.raises(CryoswayError, match="a tensor larger than its storage"):
            load_torch_archive(write_archive(path, *wrong))
    for wrong in [((2,), (-1,), 3), ((2,), (1,), -1), ((-2,), (1,))]:
        with pytest.raises(CryoswayError, match="a tensor that cannot be"):
            load_torch_archive(write_archive(path, *wrong))
    with pytest.raises(CryoswayError, match="is not a readable weights file"):
        load_torch_archive(write_archive(path, (5,), (1,), count=5))


def test_only_what_torch_writes(tmp_path):
    path = tmp_path / "weights.pkl"
    with pytest.raises(CryoswayError, match="it refers to 'storage'"):
        load_torch_archive(write_archive(path, (1,), (1,), key="../data.pkl"))
    with pytest.raises(CryoswayError, match="the archive is compressed"):
        load_torch_archive(write_archive(path, (1,), (1,), compression=zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/b", "")
    with pytest.raises(CryoswayError, match="holds 0 files"):
        load_torch_archive(path)


def test_big_endian_archives(tmp_path):
    path = write_archive(tmp_path / "weights.pkl", (4,), (1,))
    with zipfile.ZipFile(path) as old:
        described = old.read("a/data.pkl")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", described)
        archive.writestr("a/byteorder", "big")
        archive.writestr("a/data/0", np.arange(4, dtype=">f4").tobytes())
    np.testing.assert_array_equal(load_torch_archive(path), [0, 1, 2, 3])


def test_damaged_files(save, tmp_path):
    path = save({"a": torch.arange(100.0)})
    whole = path.read_bytes()
    for size in (0, 3, 30, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(CryoswayError, match=r"weights\.pkl (is not a readable|was refused)"):
            load_torch_archive(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(CryoswayError, match=r"weights\.pkl (is not a readable|was refused)"):
        load_torch_archive(path)
    with pytest.raises(CryoswayError, match="cannot read"):
        load_torch_archive(tmp_path / "none.pkl")


def test_old_files_cannot_claim_memory(tmp_path):
    """A legacy file names the size of its storages before their content."""

    class Storage:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            kind = ("storage", torch.FloatStorage, "0", "cpu", 1 << 50, None)
            return kind if isinstance(value, Storage) else None

    with (tmp_path / "weights.pkl").open("wb") as file:
        for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(part, file, 2)
        Pickler(file, 2).dump(Storage())
        pickle.dump(["0"], file, 2)
    with pytest.raises(CryoswayError, match="more than the file holds"):
        load_torch_archive(tmp_path / "weights.pkl")
