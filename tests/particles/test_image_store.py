"""Reading images by place: any order, any stack, no more than asked for."""

import numpy as np
import pytest

from cryosway import CryoswayError
from cryosway.particles import _image_store, read_layout
from cryosway.particles._image_store import ImageStore, _find_runs


def test_order_of_the_request_is_kept(make, monkeypatch):
    monkeypatch.setattr(_image_store, "_OPEN_STACKS", 2)  # stacks are closed and opened again
    monkeypatch.setattr(_image_store, "_BYTES_PER_READ", 700)  # two images of 8 px at a time
    stacks = [
        make.stack(f"{i}.mrcs", 7, dtype=["float32", "int16", "float16"][i % 3]) for i in range(5)
    ]
    store = ImageStore([read_layout(make.folder / f"{i}.mrcs") for i in range(5)])
    for sort in (False, True):
        stack_of = make.rng.integers(0, 5, 60).astype(np.int32)
        index = make.rng.integers(0, 7, 60)
        if sort:
            order = np.lexsort((index, stack_of))
            stack_of, index = stack_of[order], index[order]
        read = store.read(stack_of, index, 8)
        np.testing.assert_array_equal(
            read, [stacks[s][i] for s, i in zip(stack_of, index, strict=True)]
        )
        assert len(store._stacks) == 2


def test_runs():
    assert _find_runs(np.array([0, 1, 2, 5, 5, 6, 9]), 100) == [(0, 3), (3, 4), (4, 6), (6, 7)]
    assert _find_runs(np.arange(5), 2) == [(0, 2), (2, 4), (4, 5)]


def test_stack_that_shrinks_or_goes(make):
    make.stack(count=6)
    path = make.folder / "s.mrcs"
    store = ImageStore([read_layout(path)])
    path.write_bytes(path.read_bytes()[:1500])
    zero = np.zeros(1, np.int32)
    with pytest.raises(CryoswayError, match=r"s\.mrcs became shorter after it was opened"):
        store.read(zero, np.array([4]), 8)
    path.unlink()
    fresh = ImageStore(store.layouts)
    with pytest.raises(CryoswayError, match=r"cannot read .*s\.mrcs any more"):
        fresh.read(zero, np.array([0]), 8)
