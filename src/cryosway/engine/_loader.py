"""Batches: their order, loading ahead in threads, moving to the device."""

import dataclasses
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")


def prefetch(
    load: Callable[[Item], Loaded],
    items: Iterable[Item],
    *,
    threads: int = 1,
    depth: int | None = None,
) -> Generator[Loaded]:
    """Load items ahead of their use, in order.

    Parameters
    ----------
    load : callable
        Loads one item; runs in other threads. What it raises is raised here in its turn.
    items : iterable
        What to load, taken only as loading gets to it.
    threads : int, optional
        How many load; 0 loads here, when asked.
    depth : int, optional
        How many items may be loaded and not yet used, which bounds the memory; by default two for
        each thread.

    Yields
    ------
    object
        What ``load`` gives for each item. Closing the iterator stops the loading.

    Examples
    --------
    >>> list(prefetch(str, range(3), threads=2))
    ['0', '1', '2']
    """
    if threads == 0:
        yield from map(load, items)
        return
    ahead: deque[Future[Loaded]] = deque()
    with ThreadPoolExecutor(threads, "loader") as pool:
        try:
            for item in items:
                ahead.append(pool.submit(load, item))
                if len(ahead) > (depth or 2 * threads):
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def split_epoch(
    count: int, batch_size: int, seed: int, epoch: int, first: int = 0
) -> Iterator[npt.NDArray[np.int64]]:
    """Give the batches of an epoch: every row once, in an order of the seed and the epoch.

    Parameters
    ----------
    count, batch_size : int
        Rows in all, and per batch; the last batch may have fewer.
    seed, epoch : int
        What the order depends on.
    first : int, optional
        Number of the batch to begin with.

    Yields
    ------
    ndarray, shape (≤ batch_size,), int64
        Rows.

    Examples
    --------
    >>> sorted(np.concatenate(list(split_epoch(5, 2, seed=0, epoch=1))).tolist())
    [0, 1, 2, 3, 4]
    """
    order = np.random.default_rng([seed, epoch]).permutation(count)
    for start in range(first * batch_size, count, batch_size):
        yield order[start : start + batch_size]


def move_batch(batch: Any, device: "torch.device") -> Any:
    """Move the tensors in a batch, looking into dicts, tuples, lists and dataclasses.

    Parameters
    ----------
    batch : object
        Tensors, or containers of them.
    device : torch.device
        Where to; copies from pinned memory do not wait.

    Returns
    -------
    object
        The same, with its tensors on the device.
    """
    return _map_tensors(batch, lambda tensor: tensor.to(device, non_blocking=True))


def pin_batch(batch: Any) -> Any:
    """Copy the CPU tensors of a batch to pinned memory, from which a GPU fetches by itself."""
    return _map_tensors(batch, lambda tensor: tensor.pin_memory() if tensor.is_cpu else tensor)


def _map_tensors(batch: Any, change: "Callable[[torch.Tensor], torch.Tensor]") -> Any:
    import torch

    if isinstance(batch, torch.Tensor):
        return change(batch)
    if isinstance(batch, dict):
        return {name: _map_tensors(value, change) for name, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_map_tensors(value, change) for value in batch))
    if isinstance(batch, tuple | list):
        return type(batch)(_map_tensors(value, change) for value in batch)
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        names = [field.name for field in dataclasses.fields(batch) if field.init]
        changed = {name: _map_tensors(getattr(batch, name), change) for name in names}
        return dataclasses.replace(batch, **changed)
    return batch
