"""Bad input is met before anything is computed, and said in one sentence."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryosway import CryoswayError, CryoswayWarning
from cryosway.protein import BadRecord, clean_records, read_sequences, stream_fasta
from cryosway.protein._sequences import AMINO_ACIDS


def write(folder, text):
    path = folder / "s.fasta"
    path.write_text(text)
    return path


def test_names_descriptions_and_wrapped_lines(tmp_path):
    path = write(tmp_path, ">sp|P1|A_B first protein\nMKV\nLAG\n\n>b\nMK:VV\n")
    first, second = read_sequences(path, complexes=True)
    assert (first.name, first.description) == ("sp|P1|A_B", "sp|P1|A_B first protein")
    assert (first.sequence, first.line, len(first)) == ("MKVLAG", 1, 6)
    assert (second.chains, len(second)) == (("MK", "VV"), 4)


def test_gzipped_files_are_read(tmp_path):
    path = tmp_path / "s.fasta.gz"
    path.write_bytes(gzip.compress(b">a\nMKV\n"))
    assert [record.sequence for record in read_sequences(path)] == ["MKV"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (">a\nMKV\n>b\nMKJV\n", r"line 3: b has 'J' at residue 3, which is no amino acid; put X"),
        (">a\nMK1V\n", "a has '1' at residue 3"),
        (">a\n\n>b\nMKV\n", r"line 1: a has no residues; take it out"),
        (">a\nMK-V\n", r"a is aligned: residue 3 is a gap \(-\); take the gaps out"),
        (">a\nMK.V\n", r"residue 3 is a gap \(\.\)"),
        (">a\nMK*V\n", r"a has a stop \(\*\) at residue 3; cut it there"),
        (">a\nMKV:LLL\n", r"a is a complex \(it holds :\)"),
        (">a\n" + "ACGT" * 10 + "\n", "a looks like DNA or RNA, not protein"),
        (">a\n" + "acgu" * 10 + "\n", "translate it first"),
        (">a\nMKV\n>a\nMKL\n", "line 3: a has the name of an earlier record with another"),
        (">\nMKV\n", "a record without a name needs a name after >"),
        (">a\n" + "M" * 11 + "\n", "a has 11 residues, more than the 10 that are allowed"),
        ("MKV\n", "line 1: a FASTA file begins with >name, not 'MKV'"),
        ("", "holds no sequences"),
    ],
)
def test_what_is_no_protein_is_refused_in_a_sentence(tmp_path, text, said):
    with pytest.raises(CryoswayError, match=said):
        read_sequences(write(tmp_path, text), longest=None if "cg" in text.lower() else 10)


def test_files_that_are_none(tmp_path):
    with pytest.raises(CryoswayError, match="cannot be read"):
        read_sequences(tmp_path / "absent.fasta")
    path = tmp_path / "binary.fasta"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CryoswayError, match="not a whole text file"):
        read_sequences(path)
    cut = tmp_path / "cut.fasta.gz"
    cut.write_bytes(gzip.compress(b">a\n" + b"MKVL" * 5000)[:-20])
    with pytest.raises(CryoswayError, match=r"cut\.fasta\.gz"):
        read_sequences(cut)


def test_lower_case_and_repetitions_are_told_once(tmp_path):
    path = write(tmp_path, ">a\nmkv\n>b\nMKL*\n>a\nMKV\n>c\nMKV\n")
    with pytest.warns(CryoswayWarning, match=r"2 had lower case or a final \*.*1 repeated"):
        found = read_sequences(path)
    assert [(r.name, r.sequence) for r in found] == [("a", "MKV"), ("b", "MKL"), ("c", "MKV")]


def test_one_bad_record_does_not_hide_the_others(tmp_path):
    path = write(tmp_path, ">a\nMKV\n>b\nM1\n>c\nMKL\n")
    kept = list(clean_records(stream_fasta(path), path))
    assert [isinstance(entry, BadRecord) for entry in kept] == [False, True, False]
    assert kept[1].record.name == "b"


def test_short_and_simple_proteins_are_no_nucleic_acids(tmp_path):
    path = write(tmp_path, ">a\nACGT\n>b\n" + "GA" * 30 + "\n")
    assert len(read_sequences(path)) == 2


@given(st.lists(st.text(AMINO_ACIDS + "X", min_size=1, max_size=15), min_size=1, max_size=8))
def test_whatever_is_written_is_read(tmp_path_factory, sequences):
    text = "".join(f">s{n} about\n{sequence}\n" for n, sequence in enumerate(sequences))
    path = write(tmp_path_factory.mktemp("fasta"), text)
    assert [record.sequence for record in read_sequences(path)] == sequences
