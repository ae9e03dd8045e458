import threading
import time
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from cryosway.engine import move_batch, prefetch
from cryosway.engine._loader import split_epoch

Pair = namedtuple("Pair", "image name")  # noqa: PYI024


@dataclass(frozen=True)
class Stack:
    images: torch.Tensor
    box: int


def test_order_is_kept_whichever_is_ready_first():
    rng = np.random.default_rng(0)
    pauses = rng.uniform(0, 0.01, 40)

    def load(number):
        time.sleep(pauses[number])
        return number

    assert list(prefetch(load, range(40), threads=4)) == list(range(40))


def test_loading_runs_ahead_of_use_but_not_far():
    lock, loaded = threading.Lock(), []

    def load(number):
        with lock:
            loaded.append(number)
        return number

    batches = prefetch(load, range(100), threads=2, depth=5)
    most = 0
    for number in batches:
        time.sleep(0.002)
        most = max(most, len(loaded) - number)
    assert 3 <= most <= 6


@pytest.mark.parametrize("threads", [0, 2])
def test_error_comes_in_its_turn(threads):
    def load(number):
        if number == 3:
            raise ValueError("row 3")
        return number

    batches = prefetch(load, range(10), threads=threads)
    assert [next(batches) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="row 3"):
        next(batches)


def test_closing_stops_the_threads():
    before, loaded = threading.active_count(), []
    batches = prefetch(loaded.append, range(1000), threads=2)
    next(batches)
    batches.close()
    assert threading.active_count() == before
    assert len(loaded) < 10


@pytest.mark.parametrize("first", [0, 3, 7])
def test_epoch_can_begin_at_any_batch(first):
    batches = list(split_epoch(100, 16, seed=5, epoch=2))
    rest = list(split_epoch(100, 16, seed=5, epoch=2, first=first))
    assert [len(batch) for batch in batches] == [16] * 6 + [4]
    assert len(rest) == 7 - first
    for batch, same in zip(batches[first:], rest, strict=True):
        np.testing.assert_array_equal(batch, same)


def test_order_depends_on_seed_and_epoch():
    orders = [next(split_epoch(50, 50, seed, epoch)).tolist() for seed, epoch in [(0, 1), (1, 0)]]
    assert orders[0] != orders[1]


def test_tensors_are_found_in_containers():
    batch = {
        "pair": Pair(torch.zeros(2), "a"),
        "list": [torch.zeros(1), 3, None],
        "stack": Stack(torch.zeros(2, 4, 4), 4),
    }
    moved = move_batch(batch, torch.device("meta"))
    assert moved["pair"].image.is_meta
    assert moved["pair"].name == "a"
    assert moved["list"][0].is_meta
    assert moved["list"][1:] == [3, None]
    assert moved["stack"].images.is_meta
    assert moved["stack"].box == 4
