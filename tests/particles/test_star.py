"""STAR grammar: every value comes back as it was written."""

import time
import warnings

import numpy as np
import pyarrow as pa
import pytest
import starfile
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosway import CryoswayError
from cryosway.particles import StarBlock, read_star, write_star
from cryosway.particles._star import read_numbers, to_text_column

# What may stand unquoted in a STAR file of RELION, keywords included.
plain = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12
).filter(
    # a quote inside letters beyond ASCII is more than the reader's repair of such values covers
    lambda text: (
        text[0] not in "_#$'\"[];"
        and not text.lower().startswith(("loop_", "stop_"))
        and (text.isascii() or '"' not in text)
    )
)
values = st.one_of(
    plain,
    plain.map("data_".__add__),
    plain.map("save_".__add__),
    plain.map("_".__add__),
    st.sampled_from(["001", "'two words'", '"q"', "[1,0,-2.5e-3]", "1e5", "None", ".", "?"]),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)


@settings(max_examples=150, deadline=None)
@given(
    table=st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(values, min_size=n, max_size=n), min_size=1, max_size=5)
    )
)
def test_values_survive_reading_and_writing(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("star") / "a.star"
    labels = [f"rlnX{i}" for i in range(len(table[0]))]
    # an ordinary first column keeps keywords off the start of a line, as RELION's files do
    columns = {"rlnFirst": ["1"] * len(table)} | dict(
        zip(labels, map(list, zip(*table, strict=True)), strict=True)
    )
    block = StarBlock("particles", {k: pa.array(v, pa.string()) for k, v in columns.items()})
    write_star(path, [block])
    (read,) = read_star(path)
    assert {k: v.to_pylist() for k, v in read.columns.items()} == columns


def test_blocks_pairs_versions_and_order_are_kept(tmp_path):
    path = tmp_path / "a.star"
    path.write_text(
        "# a comment\n\n# version 50001\n\ndata_general\n\n_rlnFlag 1\n_rlnName 'a b'\n\n"
        "# version 30001\ndata_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnName #2\n1 001\n2 '1e3'\n\n"
        "data_\n\nloop_\n_rlnX\n\n"
    )
    blocks = read_star(path)
    assert [(b.name, b.is_loop, b.version, len(b)) for b in blocks] == [
        ("general", False, "50001", 1),
        ("optics", True, "30001", 2),
        ("", True, None, 0),
    ]
    copy = tmp_path / "b.star"
    write_star(copy, blocks)
    assert read_star(copy) == blocks
    assert "# version 30001\n\ndata_optics" in copy.read_text()


def test_agrees_with_starfile(make):
    path = make.star()
    ours = {block.name: block for block in read_star(path)}
    theirs = starfile.read(path)
    for name, frame in theirs.items():
        assert list(frame.columns) == list(ours[name].columns)
        for label in frame.select_dtypes("number").columns:
            if label != "rlnMicrographName":  # starfile turns 001 into 1
                np.testing.assert_allclose(read_numbers(ours[name], label, path), frame[label])
    assert set(ours["particles"].columns["rlnMicrographName"].to_pylist()) == {"001"}


def test_starfile_reads_what_we_write(make, tmp_path):
    blocks = read_star(make.star())
    write_star(tmp_path / "out.star", blocks)
    again = starfile.read(tmp_path / "out.star")
    assert list(again["particles"].columns) == list(blocks[1].columns)
    assert len(again["particles"]) == 6


def test_new_texts_are_quoted_where_needed(tmp_path):
    texts = ["plain", "two words", "", "#5", "data_x", "_y", "it's"]
    write_star(tmp_path / "a.star", [StarBlock("", {"rlnName": to_text_column(texts)})])
    assert read_star(tmp_path / "a.star")[0].strings("rlnName") == texts


def test_file_that_is_not_star(tmp_path):
    (tmp_path / "a.star").write_text("data_particles\nloop_\n_rlnA\n_rlnB\n1 2 3\n")
    with pytest.raises(CryoswayError, match=r"a\.star is not a readable STAR file .*cut short"):
        read_star(tmp_path / "a.star")
    with pytest.raises(CryoswayError, match="does not exist"):
        read_star(tmp_path / "none.star")
    (tmp_path / "c.star").write_text("data_a\nloop_\n_rlnA\n1\n2\nloop_\n_rlnB\n3\n")
    with pytest.raises(CryoswayError, match="several tables in its block data_a"):
        read_star(tmp_path / "c.star")


def test_number_that_is_none_names_its_row(tmp_path):
    (tmp_path / "a.star").write_text("data_p\nloop_\n_rlnA\n1\n+2.5\nx\n")
    (block,) = read_star(tmp_path / "a.star")
    with pytest.raises(CryoswayError, match=r"a\.star row 3: rlnA is 'x', not a number"):
        read_numbers(block, "rlnA", tmp_path / "a.star")
    np.testing.assert_equal(read_numbers(block.take(np.array([1, 0])), "rlnA", "a"), [2.5, 1])


def test_failed_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.star"
    path.write_text("old")
    broken = StarBlock("x", {"rlnA": pa.array(["1"]), "rlnB": pa.array(["1", "2"])})
    with pytest.raises(pa.ArrowInvalid):
        write_star(path, [broken])
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.star"]
    with pytest.raises(CryoswayError, match=r"folder .* does not exist"):
        write_star(tmp_path / "no" / "a.star", [])


def test_hundred_thousand_rows_in_seconds(make, tmp_path):
    rows = make.rows(100) * 1000
    path = make.star(rows=rows)
    began = time.process_time()
    blocks = read_star(path)
    read = time.process_time() - began
    write_star(tmp_path / "out.star", blocks)
    written = time.process_time() - began - read
    assert len(blocks[1]) == 100_000
    assert read < 2 and written < 2
    with warnings.catch_warnings():
        assert (tmp_path / "out.star").read_text().count("\n") > 100_000
