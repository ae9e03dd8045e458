"""Batches: by length, smaller where memory is short, and one bad protein stops no other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryosway._errors import CryoswayError
from cryosway.protein import Prediction, SequenceRecord, read_prediction, write_prediction
from cryosway.protein.folding import (
    Failure,
    FileEngine,
    FoldingEngine,
    choose_file_names,
    fold_batch,
    name_chain,
    plan_batches,
)


def records(*lengths):
    return [SequenceRecord(f"p{i}", "", "M" * n, i) for i, n in enumerate(lengths)]


class Memory:
    """An engine that has room for so many residues², times chunk over length."""

    name = "memory"

    def __init__(self, room, poison="none"):
        self.room, self.poison, self.calls = room, poison, []

    def choose_chunk(self, length, count):
        return None

    def fold(self, batch, chunk):
        self.calls.append(([r.name for r in batch], chunk))
        longest = max(map(len, batch))
        if len(batch) * longest * min(chunk or longest, longest) > self.room:
            raise MemoryError(f"{longest} residues do not fit")
        if any(r.name == self.poison for r in batch):
            raise RuntimeError("index out of range\nmore")
        return [r.name for r in batch]


def test_batches_are_of_like_lengths_and_within_the_limit():
    batches = plan_batches(records(100, 10, 90, 12, 11, 500), 200)
    lengths = [[len(r) for r in batch] for batch in batches]
    assert lengths == [[10, 11, 12], [90, 100], [500]]
    assert plan_batches([], 100) == []


@given(st.lists(st.integers(1, 300), max_size=30), st.integers(1, 1000))
def test_every_record_is_in_one_batch(lengths, limit):
    wanted = records(*lengths)
    batches = plan_batches(wanted, limit)
    assert sorted(r.name for batch in batches for r in batch) == sorted(r.name for r in wanted)
    assert all(len(b) == 1 or len(b) * max(map(len, b)) <= limit for b in batches)


def test_short_memory_halves_the_batch_and_then_the_chunk():
    engine, said = Memory(room=20 * 100), []
    assert isinstance(engine, FoldingEngine)
    found = dict(fold_batch(engine, records(100, 100, 100), note=said.append))
    assert [r.name for r in found] == ["p0", "p1", "p2"]
    assert not any(isinstance(outcome, Failure) for outcome in found.values())
    assert [len(names) for names, _ in engine.calls[:3]] == [3, 2, 1]
    assert {chunk for names, chunk in engine.calls if len(names) == 1} >= {None, 50, 25, 12}
    assert any("tried with a chunk of 25" in line for line in said)


def test_what_fits_at_no_chunk_fails_by_name():
    ((record, outcome),) = fold_batch(Memory(room=10), records(100))
    assert (record.name, outcome.problem) == ("p0", "100 residues do not fit")


def test_one_that_cannot_be_folded_stops_no_other():
    engine = Memory(room=10**9, poison="p1")
    found = {r.name: outcome for r, outcome in fold_batch(engine, records(9, 9, 9))}
    assert found["p0"] == "p0"
    assert found["p2"] == "p2"
    assert found["p1"].problem == "index out of range"


def test_all_rows_at_once_where_the_chunk_is_zero():
    engine = Memory(room=10**9)
    list(fold_batch(engine, records(5), chunk=0))
    assert engine.calls == [(["p0"], None)]


@given(st.lists(st.tuples(st.text(max_size=8), st.sampled_from(["M", "K"])), max_size=12))
def test_file_names_are_safe_and_differ(named):
    wanted = [SequenceRecord(name, name, sequence) for name, sequence in named]
    names = choose_file_names(wanted)
    assert len({name.lower() for name in names}) == len(names)
    assert all(name and "/" not in name and " " not in name for name in names)
    assert all(name[0] not in ".-" and name.isascii() for name in names)
    assert names == choose_file_names(wanted)


def test_headers_with_slashes_blanks_and_bars():
    wanted = [SequenceRecord(n, n, s) for n, s in (("sp|P1|A/B", "MK"), ("../../etc", "MA"))]
    assert choose_file_names(wanted) == ["sp_P1_A_B", "etc"]
    same = [SequenceRecord("a/b", "", "MK"), SequenceRecord("a|b", "", "MA")]
    first, second = choose_file_names(same)
    assert first.startswith("a_b-")
    assert first != second


def test_chains_have_names_without_end():
    names = [name_chain(number) for number in range(200)]
    assert len(set(names)) == 200
    with pytest.raises(CryoswayError, match="numbered from 0"):
        name_chain(-1)


def test_files_of_other_programs_are_found_by_their_sequence(kinase, tmp_path):
    atoms = kinase[0].select_chains(["A"])
    (tmp_path / "deep").mkdir()
    write_prediction(Prediction("k", atoms, np.full(214, 80.0), None, 0.8), tmp_path / "deep/k.cif")
    engine = FileEngine(tmp_path)
    sequence = read_prediction(tmp_path / "deep/k.cif").sequence
    (found,) = engine.fold([SequenceRecord("mine", "", sequence)], None)
    assert found.mean_plddt == pytest.approx(80)
    ((_, failure),) = fold_batch(engine, [SequenceRecord("other", "", "MKV")])
    assert "no model in" in failure.problem
    with pytest.raises(CryoswayError, match="holds no models"):
        FileEngine(tmp_path / "absent")
