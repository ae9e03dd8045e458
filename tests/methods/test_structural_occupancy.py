"""`structural` on a complex of two chains, one of which is missing in half of the particles."""

from dataclasses import fields, replace

import gemmi
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from cryosway._errors import CryoswayError
from cryosway.engine import read_json
from cryosway.methods._consensus import read_noise
from cryosway.methods._motions.models import write_models
from cryosway.methods._neural.encode import encode
from cryosway.methods._options import StructuralOptions
from cryosway.methods._structural.groups import choose_groups, group_chains, group_selections
from cryosway.methods._structural.halves import Fitted
from cryosway.methods._structural.latents import ModelViews
from cryosway.methods._structural.model import StructuralModel
from cryosway.methods._structural.structural import structural
from cryosway.methods._structural.unseen import Conformations, judge_unseen
from cryosway.particles import read_particles
from cryosway.protein import AtomTable, coarse_grain, write_structure
from cryosway.report import gather_contents
from cryosway.report._verdict import write_verdict
from cryosway.simulate import adenylate_kinase_states, simulate

BOX, PIXEL_SIZE, COUNT = 32, 4.25, 240
QUICK = {
    "epochs": 3, "modes": 6, "rounds": 1, "latent_dim": 1, "halves": False, "threads": 1,
    "device": "cpu", "check_docking": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def whole():
    """Two adenylate kinases side by side, chains A and B."""
    atoms = adenylate_kinase_states(2)[0]
    x = atoms.coordinates - atoms.coordinates.mean(0)
    turned = x @ np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    aside = np.array([21.0, 3.0, 0.0])
    places = {"A": x - aside, "B": turned + aside}
    chains = [
        replace(atoms, coordinates=place, chains=np.full(len(atoms), name))
        for name, place in places.items()
    ]
    return AtomTable(
        **{f.name: np.concatenate([getattr(c, f.name) for c in chains]) for f in fields(AtomTable)}
    )


def fit(whole, states, folder, **options):
    """Simulate states, fit the whole complex; give the job, and the state of each particle."""
    made = simulate(
        states, folder / "set", n=COUNT, box=BOX, pixel_size=PIXEL_SIZE, snr=0.2, seed=1,
        superpose=False, shift=5.0, threads=1,
    )  # fmt: skip
    centres = [np.average(s.coordinates, axis=0, weights=s.atomic_numbers) for s in states]
    model = folder / "model.cif"
    write_structure(model, whole.with_coordinates(whole.coordinates - np.mean(centres, axis=0)))
    job = structural(made.particles, folder / "job", model=model, **(QUICK | options))
    return job, made.truth()["state"].to_numpy()


@pytest.fixture(scope="module")
def missing(whole, tmp_path_factory):
    states = [whole, whole.select_chains(["A"])]
    return fit(whole, states, tmp_path_factory.mktemp("missing"))


def say(job):
    decisions = read_json(job.path / "decisions.json")
    return [entry for entry in decisions if entry["what"] == "composition of the particles"]


def test_tells_which_particles_lack_the_chain(missing):
    job, state = missing
    assert "occupancy_A" not in job.particles
    found = job.particles["occupancy_B"]
    assert roc_auc_score(state == 0, found) > 0.95
    assert abs(found.mean() - (state == 0).mean()) < 0.05
    (entry,) = say(job)
    assert entry["why"].startswith(f"chain B is missing in {100 * (1 - found.mean()):.0f} %")
    assert entry["why"] == job.info["composition"]["sentence"]


def test_absence_does_not_bend_the_model(missing):
    """The true structure does not move; without occupancies it is bent by more than 1 Å."""
    assert np.sqrt((missing[0].particles["displacement"] ** 2).mean()) < 0.5


def test_model_is_reopened_with_its_composition(missing):
    job, _ = missing
    model = StructuralModel.load(job.path)
    assert model.composition.groups.names == ("B",)
    share = float(model.composition.shares[0])
    assert share == pytest.approx(job.particles["occupancy_B"].mean(), abs=0.03)
    # The model at a latent is that of all chains.
    assert job.model(job.latents[0])[0].count_atom_sites() == len(model.coarse.atoms)


def occupancy_of_b(path):
    """Occupancy of chain B's first atom over that of chain A's (they are alike), in each model."""
    chains = [
        {chain.name: chain[0][0].occ for chain in model}
        for model in gemmi.read_structure(str(path))
    ]
    return [found["B"] / found["A"] for found in chains]


def test_models_have_the_occupancy_of_the_particles_near_them(missing, tmp_path):
    """A particle's model has its own occupancy; one at a latent, that of who is near."""
    job, state = missing
    found = job.particles["occupancy_B"]
    full, lacking = int(found.argmax()), int(found.argmin())
    (path,) = write_models(job, tmp_path, particles=(full, lacking))
    assert occupancy_of_b(path) == pytest.approx([1, 0], abs=0.02)
    assert (state[full], state[lacking]) == (0, 1)
    (path,) = write_models(job, tmp_path, latents=(job.latents.mean(0), [50.0]))
    near, far = occupancy_of_b(path)
    assert 0.3 < near < 0.7
    assert far == pytest.approx(found.mean(), abs=0.01)
    written = occupancy_of_b(job.path / "models" / "direction1.cif")
    assert 0.2 < min(written) < max(written) < 0.8


def test_report_says_what_is_missing(missing):
    (sentence,) = [
        line for line in write_verdict(gather_contents(missing[0].path)) if "chain" in line.lower()
    ]
    assert sentence.startswith("Chain B is missing in")


def test_latents_and_occupancies_are_found_anew(missing, tmp_path):
    """`encode` of the same images gives the table of the training."""
    job, _ = missing
    chosen = np.arange(0, COUNT, 5)
    again = encode(
        read_particles(job.path / "particles.star")[chosen], tmp_path / "job", job=job.path,
        device="cpu", threads=1,
    )  # fmt: skip
    table = job.particles.iloc[chosen]
    assert np.abs(again.particles["occupancy_B"].to_numpy() - table["occupancy_B"]).max() < 0.1
    apart = np.abs(again.latents[:, 0] - table["z1"])
    assert apart.median() < 0.05 * job.latent_sd.mean()
    assert apart.max() < 0.7 * job.latent_sd.mean()


def test_unseen_points_are_foretold_by_what_the_seen_ones_lack(missing):
    job, state = missing
    fitted = Fitted.open(job.path)
    source = fitted.data.open_source(torch.device("cpu")).with_noise(read_noise(job.path, BOX))
    rows = np.flatnonzero(state == 1)[:20]
    reference = fitted.model.deformation.reference
    nothing = torch.zeros(0, len(reference), dtype=torch.bool)
    against = Conformations(reference, reference, nothing, torch.zeros_like(reference))
    known, ignored = (
        judge_unseen(ModelViews(model, source), source, rows, against, 0.1, 0)
        for model in (fitted.model, replace(fitted.model, composition=None))
    )
    for name in ("motion", "mean"):
        gain = getattr(known, name) - getattr(ignored, name)
        assert gain.mean() > 3 * gain.std() / np.sqrt(len(gain))


def test_finds_nothing_missing_where_all_is_there(whole, tmp_path):
    job, _ = fit(whole, [whole], tmp_path, epochs=1)
    assert not [name for name in job.particles if name.startswith("occupancy")]
    (entry,) = say(job)
    assert entry["value"] == {}
    assert "chain A and chain B are present in all particles" in entry["why"]


def test_groups_are_chains_or_what_is_named(whole):
    model = coarse_grain(whole)
    assert group_chains(model).names == ("A", "B")
    named = group_selections(model, ["/B:1-50", "A"])
    assert named.names == ("B_1_50", "A")
    assert (np.bincount(named.part) == [214 - 50, 50, 214]).all()
    kept = named.keep([2])
    assert kept.names == ("A",)
    assert (kept.part == (model.chains == "A")).all()


def test_one_chain_has_nothing_to_lack(whole):
    assert len(group_chains(coarse_grain(whole.select_chains(["A"])))) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"occupancy_of": ("A", "/A:1-9")}, "both name the same residues"),
        ({"occupancy_of": ("C",)}, "there is no chain 'C'"),
        ({"occupancy_of": ("A",), "occupancy": "none"}, "leave one out"),
        ({"occupancy_of": ("A",) * 7, "occupancy": "chains"}, "at most 6 can"),
    ],
)
def test_says_which_parts_cannot_be_told_apart(whole, options, message):
    given = StructuralOptions(model="model.cif", **options)
    with pytest.raises(CryoswayError, match=message):
        choose_groups(coarse_grain(whole), given)
