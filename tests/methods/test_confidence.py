"""What a prediction's confidences change in docking and in the structural method."""

from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import torch

from cryosway._errors import CryoswayError
from cryosway.engine import read_json
from cryosway.methods._protein.confidence import (
    BeadRestraints,
    carry_scores,
    keep_placed,
    read_restraints,
)
from cryosway.methods._structural.step import StructuralPriors
from cryosway.methods._structural.structural import structural
from cryosway.protein import Prediction, coarse_grain, read_structure, write_prediction
from cryosway.simulate import simulate

FOLDER = files("cryosway.simulate") / "data"
TAIL = 20


@pytest.fixture(scope="module")
def kinase():
    tables = [read_structure(str(FOLDER / f"{name}.cif.gz"), ligands=False)
              for name in ("1ake", "4ake")]  # fmt: skip
    return [table.select_chains(["A"]) for table in tables]


@pytest.fixture(scope="module")
def model(kinase, tmp_path_factory):
    """The closed kinase as a prediction that knows its domains, and nothing of its end."""
    beads = [coarse_grain(table).coordinates for table in kinase]
    apart = [np.linalg.norm(x[:, None] - x, axis=-1) for x in beads]
    pae = 1 + 2 * np.abs(apart[0] - apart[1])
    pae[-TAIL:, :], pae[:, -TAIL:] = 28.0, 28.0
    plddt = np.full(len(pae), 90.0)
    path = tmp_path_factory.mktemp("fold") / "fold.cif"
    centred = kinase[0].with_coordinates(kinase[0].coordinates - beads[0].mean(0))
    write_prediction(Prediction("fold", centred, plddt, pae, 0.9), path)
    return path


@pytest.fixture(scope="module")
def held(model):
    coarse = coarse_grain(read_structure(model))
    return BeadRestraints.of(coarse, read_restraints(model, "auto"))


def test_tails_are_not_docked(model):
    atoms = read_structure(model)
    kept = keep_placed(atoms, read_restraints(model, "auto"), model)
    gone = set(atoms.residue_numbers.tolist()) - set(kept.residue_numbers.tolist())
    assert len(gone) == pytest.approx(TAIL, abs=3)
    assert min(gone) > 190
    assert keep_placed(atoms, None, model) is atoms


def test_a_model_without_confidences_is_taken_as_it_is(model, tmp_path):
    lone = tmp_path / "lone.cif"
    lone.write_bytes(model.read_bytes())
    assert read_restraints(lone, "auto") is None
    assert read_restraints(model, "none") is None
    assert read_restraints(lone, model.with_name("fold_scores.json")) is not None


def test_confidences_go_along_when_a_model_is_moved(model, tmp_path):
    moved = tmp_path / "docked.cif"
    moved.write_bytes(model.read_bytes())
    carry_scores(model, "auto", moved)
    np.testing.assert_allclose(read_restraints(moved, "auto").pae,
                               read_restraints(model, "auto").pae)  # fmt: skip
    carry_scores(moved, "none", tmp_path / "other.cif")
    assert not (tmp_path / "other_scores.json").exists()


def test_the_network_lets_domains_move_and_tails_go(model, held):
    coarse = coarse_grain(read_structure(model))
    priors = StructuralPriors(coarse, 1.0, held.weigh)
    plain = StructuralPriors(coarse, 1.0)
    assert int(priors.elastic.pairs.max()) < len(coarse) - TAIL + 3
    opened = coarse_grain(read_structure(str(FOLDER / "4ake.cif.gz"), chains=["A"], ligands=False))
    moved = torch.from_numpy(opened.coordinates).float()[None]
    energies = []
    for one in (priors, plain):
        one.eval()
        one.elastic.set_spread(1.0)
        energies.append(float(one.elastic(moved)))
    assert energies[0] < 0.2 * energies[1]


def test_segments_part_beads_first_and_position_after(held):
    places = held.segment_places()
    segments = held.restraints.segments[held.rows]
    assert places.shape[1] == segments.max()
    first, second = (places[segments == n][0] for n in (1, 2))
    assert np.linalg.norm(first - second) > 10  # 100 Å, in tens
    assert np.ptp(places[segments == 0]) == 0


def test_confidences_of_another_model_are_refused(model):
    coarse = coarse_grain(read_structure(model))
    renamed = replace(coarse, chains=np.full(len(coarse), "Q"))
    with pytest.raises(CryoswayError, match="are of other residues than the model's"):
        BeadRestraints.of(renamed, read_restraints(model, "auto"))


def test_a_prediction_that_is_sure_of_nothing_cannot_be_docked(model):
    restraints = replace(read_restraints(model, "auto"), placed=np.zeros(214, bool))
    with pytest.raises(CryoswayError, match="predicted well enough to be docked"):
        keep_placed(read_structure(model), restraints, model)


def test_structural_takes_a_prediction(model, tmp_path):
    images = simulate(
        [read_structure(model)], tmp_path / "set", n=24, box=32, pixel_size=3.5, snr=0.5,
        seed=1, superpose=False, threads=1,
    )  # fmt: skip
    job = structural(
        images.particles, tmp_path / "job", model=model, epochs=1, halves=False, modes=3,
        rounds=1, latent_dim=1, threads=1, device="cpu",
    )  # fmt: skip
    said = {entry["what"]: entry["why"] for entry in read_json(job.path / "decisions.json")}
    assert "rigid segments" in said["confidences"]
    assert job.info["config"]["confidence"] == "auto"
