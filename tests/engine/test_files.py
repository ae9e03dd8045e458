import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cryosway import CryoswayError
from cryosway.engine import read_json, read_table, to_plain, write_json, write_table

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=10,
)


@given(value=plain)
def test_json_round_trip(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "a.json"
    write_json(path, value)
    assert read_json(path) == value


def test_json_is_strict(tmp_path):
    write_json(tmp_path / "a.json", {"z": np.array([1.5, np.nan, np.inf]), "n": np.int64(3)})
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {"z": [1.5, None, None], "n": 3}


def test_to_plain_knows_the_usual_objects():
    @dataclasses.dataclass
    class Point:
        x: float

    value = {"point": Point(1.0), "tensor": torch.arange(2), "set": {2, 1}, 3: (4,)}
    assert to_plain(value) == {"point": {"x": 1.0}, "tensor": [0, 1], "set": [1, 2], "3": [4]}
    with pytest.raises(TypeError, match="a object cannot be written"):
        to_plain(object())


def test_table_round_trip(tmp_path):
    table = pd.DataFrame({"index": [0, 1], "image_name": ["001@a", "002@a"], "z1": [0.5, np.nan]})
    write_table(tmp_path / "t.parquet", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), table)


def test_missing_and_damaged_files_are_explained(tmp_path):
    with pytest.raises(CryoswayError, match="does not exist"):
        read_json(tmp_path / "a.json")
    with pytest.raises(CryoswayError, match="does not exist"):
        read_table(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(CryoswayError, match="not a whole Parquet file"):
        read_table(tmp_path / "b.parquet")
