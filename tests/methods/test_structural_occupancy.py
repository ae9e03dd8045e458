"""`structural` on a complex of two chains, one of which is missing in half of the particles."""

from dataclasses import fields, replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cryosway._errors import CryoswayError
from cryosway.engine import read_json
from cryosway.methods._options import StructuralOptions
from cryosway.methods._structural import structural
from cryosway.methods._structural_groups import choose_groups, group_chains, group_selections
from cryosway.methods._structural_model import StructuralModel
from cryosway.methods._structural_occupancy import find_columns, occupy_atoms
from cryosway.protein import AtomTable, coarse_grain, write_structure
from cryosway.simulate import adenylate_kinase_states, simulate

BOX, PIXEL_SIZE, COUNT = 40, 3.4, 300
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
    assert entry["why"].startswith(f"chain B is present in {100 * found.mean():.0f} %")


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


def test_atoms_get_the_mean_occupancy_of_particles(missing):
    job, _ = missing
    model = StructuralModel.load(job.path)
    groups = model.composition.groups
    means = find_columns(job.particles, groups).mean(axis=0)
    atoms = occupy_atoms(model.coarse.atoms, model.coarse, groups, means)
    # Those of the file are of atoms within the chain, and count as well.
    factors = np.where(atoms.chains == "B", means[0], 1)
    assert np.allclose(atoms.occupancies, factors * model.coarse.atoms.occupancies)


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
