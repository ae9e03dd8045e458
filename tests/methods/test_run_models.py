"""What a run follows: chains and copies of a FASTA file, predictions by sequence, one source."""

import numpy as np
import pytest

import cryosway as cs
from cryosway import CryoswayError
from cryosway.cli import main
from cryosway.methods._options import RunOptions
from cryosway.methods._run.models import (
    choose_folded,
    choose_predictions,
    fingerprint_models,
    read_chains,
    wants_models,
    write_chains,
)
from cryosway.protein import AtomTable
from cryosway.protein.prediction import Prediction, write_prediction

NAMES = {"A": "ALA", "G": "GLY", "K": "LYS", "M": "MET", "V": "VAL", "L": "LEU"}


def options(**given):
    return RunOptions.check("run", given)


def write_fasta(path, *records):
    path.write_text("".join(f">{header}\n{sequence}\n" for header, sequence in records))
    return path


def write_model(path, *chains, plddt=90.0):
    """Write a prediction of sequences: Cα atoms on a helix, chains 40 Å apart."""
    letters = "".join(chains)
    turn = np.arange(len(letters)) * 1.75
    helix = np.stack([2.3 * np.cos(turn), 2.3 * np.sin(turn), 0.87 * turn], axis=1)
    chain = np.concatenate([np.full(len(one), n) for n, one in enumerate(chains)])
    count = len(letters)
    atoms = AtomTable(
        coordinates=helix + 40.0 * chain[:, None],
        elements=np.full(count, "C"),
        atomic_numbers=np.full(count, 6, np.int16),
        chains=np.array(list("ABCD"))[chain],
        residue_names=np.array([NAMES[letter] for letter in letters]),
        residue_numbers=np.concatenate([np.arange(1, len(one) + 1) for one in chains]),
        insertion_codes=np.full(count, ""),
        atom_names=np.full(count, "CA"),
        occupancies=np.ones(count),
        b_factors=np.full(count, plddt),
    )
    path.parent.mkdir(exist_ok=True)
    write_prediction(Prediction("m", atoms, np.full(count, plddt), np.ones((count, count))), path)
    return path


def test_copies_are_counted_by_header_and_by_repetition(tmp_path):
    path = write_fasta(
        tmp_path / "s.fasta",
        ("a copies=4", "MKVLA"), ("b", "MKKK"), ("b2", "mkkk*"), ("c", "MVVV"),
    )  # fmt: skip
    chains = read_chains(path)
    found = {chain.record.name: chain.copies for chain in chains}
    assert found == {"a": 4, "b": 2, "c": None}
    write_chains(chains, tmp_path / "each.fasta")
    again = read_chains(tmp_path / "each.fasta")
    assert [chain.record.sequence for chain in again] == ["MKVLA", "MKKK", "MVVV"]


def test_predictions_are_chosen_by_their_sequences(tmp_path):
    folder = tmp_path / "models"
    for name, chains in {
        "x_rank1": ["MKVLA"], "x_rank2": ["MKVLA"], "pair": ["MGGG", "MAAA"], "alone": ["MGGG"],
        "stranger": ["MLLL"],
    }.items():  # fmt: skip
        write_model(folder / f"{name}.cif", *chains)
    fasta = write_fasta(
        tmp_path / "s.fasta", ("x", "MKVLA"), ("g copies=2", "MGGG"), ("h copies=2", "MAAA")
    )
    bodies = choose_predictions(options(prediction=(folder,), sequence=fasta))
    assert [(b.model.name, b.copies) for b in bodies] == [("pair.cif", 2), ("x_rank1.cif", None)]
    every = choose_predictions(options(prediction=(folder / "stranger.cif", folder)))
    assert [body.model.stem for body in every] == ["stranger", "alone", "pair", "x_rank1"]
    missing = write_fasta(tmp_path / "t.fasta", ("y", "MMMM"))
    with pytest.raises(CryoswayError, match=r"no prediction has the sequence MMMM.*t.fasta"):
        choose_predictions(options(prediction=(folder,), sequence=missing))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CryoswayError, match="empty holds no models"):
        choose_predictions(options(prediction=(tmp_path / "empty",)))


def test_other_confidences_make_another_run(tmp_path):
    model = write_model(tmp_path / "m.cif", "MKVLA")
    before = fingerprint_models(options(prediction=(model,)))
    scores = tmp_path / "m_scores.json"
    scores.write_text(scores.read_text().replace("90.0", "91.0"))
    after = fingerprint_models(options(prediction=(model,)))
    assert before.keys() == after.keys() and before != after


def test_what_could_not_be_folded_stops_the_run(tmp_path):
    path = write_fasta(tmp_path / "s.fasta", ("a", "MKVLA"), ("b copies=3", "MAAAA"))
    write_model(tmp_path / "models" / "m.cif", "MAAAA")
    how = {"engine": "files", "checkpoint": tmp_path / "models", "threads": 1}
    cs.fold(path, tmp_path / "fold", **how)
    chains = read_chains(path)
    (body,) = choose_folded(chains[1:], tmp_path / "fold")
    assert body.copies == 3 and body.model.exists()
    with pytest.raises(CryoswayError, match="a could not be folded: no model in"):
        choose_folded(chains, tmp_path / "fold")


def test_models_come_from_one_source(tmp_path):
    fasta = write_fasta(tmp_path / "s.fasta", ("a", "MKVLA"))
    assert not wants_models(options())
    assert wants_models(options(sequence=fasta, checkpoint=tmp_path))
    assert wants_models(options(model=fasta)) and wants_models(options(prediction=(fasta,)))
    for given, said in (
        ({"model": fasta, "prediction": (fasta,)}, "--prediction and --model are given"),
        ({"model": fasta, "sequence": fasta}, "--sequence and --model are given"),
        ({"checkpoint": fasta}, "nothing to fold; give --sequence"),
        ({"audit": True}, "--audit is of an atomic model's motion; give --model"),
    ):
        with pytest.raises(CryoswayError, match=said):
            wants_models(options(**given))


def test_mistakes_in_the_sequences_are_told(tmp_path):
    with pytest.raises(CryoswayError, match="residue 3 is a gap"):
        read_chains(write_fasta(tmp_path / "a.fasta", ("a", "MK-V")))
    with pytest.raises(CryoswayError, match="copies=0 of a; take the record out"):
        read_chains(write_fasta(tmp_path / "b.fasta", ("a copies=0", "MKV")))
    with pytest.raises(CryoswayError, match="holds no sequences"):
        read_chains(write_fasta(tmp_path / "c.fasta"))


def test_weights_that_are_not_there_are_told_before_anything_is_computed(
    tmp_path, capsys, one_state
):
    fasta = write_fasta(tmp_path / "s.fasta", ("a", "MKVLA"))
    for engine, absent, said in (
        ("esmfold", "nonexistent", "there is no folder"),
        ("trrosetta", "empty", "has no weights of trRosetta"),
        ("files", "empty", "holds no models"),
    ):
        words = ["run", str(one_state.particles), "--sequence", str(fasta), "--engine", engine]
        given = ["--checkpoint", str(tmp_path / absent), "--out", str(tmp_path / "r")]
        assert main([*words, *given]) == 2
        assert said in capsys.readouterr().err
        assert not (tmp_path / "r").exists()


def test_other_weights_in_the_same_folder_make_another_run(tmp_path):
    fasta = write_fasta(tmp_path / "s.fasta", ("a", "MKVLA"))
    model = write_model(tmp_path / "models" / "m.cif", "MKVLA")
    given = options(sequence=fasta, engine="files", checkpoint=tmp_path / "models")
    before = fingerprint_models(given)
    model.write_text(model.read_text() + "# changed\n")
    assert fingerprint_models(given)["checkpoint"] != before["checkpoint"]


def test_without_a_checkpoint_one_sentence_says_how_to_go_on(tmp_path, capsys, one_state):
    fasta = write_fasta(tmp_path / "s.fasta", ("a", "MKVLA"))
    words = [
        "run",
        str(one_state.particles),
        "--sequence",
        str(fasta),
        "--out",
        str(tmp_path / "r"),
    ]
    assert main(words) == 2
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0
    for word in ("facebook/esmfold_v1", "Hugging Face", "--checkpoint", "--prediction", "--model"):
        assert word in said
    assert not (tmp_path / "r").exists()
