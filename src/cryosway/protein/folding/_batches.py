"""Batches by length, smaller where memory is short, none of which stops the others."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cryosway._errors import CryoswayError
from cryosway.protein._sequences import SequenceRecord
from cryosway.protein.folding._engine import FoldingEngine
from cryosway.protein.prediction import Prediction

Note = Callable[[str], None]

_SMALLEST_CHUNK = 4


@dataclass(frozen=True)
class Failure:
    """A record that could not be folded, and why in a sentence."""

    record: SequenceRecord
    problem: str


Outcome = Prediction | Failure


def plan_batches(records: Sequence[SequenceRecord], residues: int) -> list[list[SequenceRecord]]:
    """Sort records by length and join them to batches.

    Parameters
    ----------
    records
        Any order; the plan depends on names and sequences only.
    residues
        Of a batch at most, counted with its padding; longer records are batches by themselves.
    """
    batches: list[list[SequenceRecord]] = []
    for record in sorted(records, key=lambda one: (len(one), one.name, one.sequence)):
        last = batches[-1] if batches else None
        if last is None or (len(last) + 1) * len(record) > residues:
            batches.append([record])
        else:
            last.append(record)
    return batches


def fold_batch(
    engine: FoldingEngine,
    batch: Sequence[SequenceRecord],
    *,
    chunk: int | None = None,
    note: Note = lambda _: None,
) -> Iterator[tuple[SequenceRecord, Outcome]]:
    """Fold a batch whatever happens.

    Where memory is too small the batch is halved, then the chunk, until a single protein fails at
    the smallest chunk. Where a batch fails otherwise its records are folded one by one, so that
    only the one at fault does.

    Parameters
    ----------
    engine
        What folds.
    batch
        Records of about one length.
    chunk
        Rows of pairs at a time, 0 for all; chosen by the engine where None.
    note
        Told what was made smaller.

    Yields
    ------
    Every record with its prediction or failure.
    """
    longest = max(map(len, batch))
    size = engine.choose_chunk(longest, len(batch)) if chunk is None else chunk or None
    try:
        yield from zip(batch, engine.fold(batch, size), strict=True)
        return
    except MemoryError as error:
        problem, short = str(error), True
    except (CryoswayError, RuntimeError, ValueError, IndexError) as error:
        problem, short = str(error).strip().split("\n")[0] or type(error).__name__, False
    if len(batch) > 1:
        parts = 2 if short else len(batch)
        note(f"{problem}; the batch of {len(batch)} is folded in {parts} parts")
        step = -(-len(batch) // parts)
        for first in range(0, len(batch), step):
            yield from fold_batch(engine, batch[first : first + step], chunk=chunk, note=note)
        return
    smaller = _reduce_chunk(size, longest)
    if short and smaller is not None:
        note(f"{problem}; {batch[0].name} is tried with a chunk of {smaller}")
        yield from fold_batch(engine, batch, chunk=smaller, note=note)
        return
    yield batch[0], Failure(batch[0], problem)


def _reduce_chunk(chunk: int | None, length: int) -> int | None:
    """Give a smaller chunk, None where there is none."""
    if chunk is None:
        return max(_SMALLEST_CHUNK, min(128, length // 2))
    return chunk // 2 if chunk // 2 >= _SMALLEST_CHUNK else None
