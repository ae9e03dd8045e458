import pytest
import torch

from cryosway import CryoswayError
from cryosway.engine import _precision, autocast, choose_precision
from cryosway.engine._precision import has_bf16

CPU = torch.device("cpu")


def test_auto_takes_bf16_where_the_device_has_it(monkeypatch):
    for has, chosen in ((True, "bf16"), (False, "float32")):
        monkeypatch.setattr(_precision, "has_bf16", lambda device, has=has: has)
        assert choose_precision("auto", CPU) == chosen
        assert choose_precision("float32", CPU) == "float32"
        assert choose_precision("bf16", CPU) == "bf16"


def test_unknown_precision_is_explained():
    with pytest.raises(CryoswayError, match="use auto, float32 or bf16"):
        choose_precision("fp8", CPU)


def test_bf16_needs_arithmetic_not_only_storage(monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, bool, raising=False)
    assert not has_bf16(CPU)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert has_bf16(CPU)
    assert not has_bf16(torch.device("meta"))


def test_products_inside_the_block_have_the_precision():
    a = torch.ones(2, 2)
    with autocast("bf16", CPU):
        assert (a @ a).dtype == torch.bfloat16
    with autocast("float32", CPU):
        assert (a @ a).dtype == torch.float32
