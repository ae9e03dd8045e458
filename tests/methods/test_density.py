"""`density`: maps from a structural job of three states of adenylate kinase."""

import numpy as np
import pytest
import torch

import cryosway as cs
from cryosway._errors import CryoswayError
from cryosway.engine import read_json
from cryosway.methods import _density_deformed
from cryosway.methods._density import density
from cryosway.methods._density_data import DensityData
from cryosway.methods._density_deformed import ParticleFrames
from cryosway.methods._density_regions import find_moving, mask_around, mask_region, mask_state
from cryosway.methods._density_state import find_state
from cryosway.methods._structural import structural
from cryosway.particles import read_map
from cryosway.protein import MovingFrames, write_structure
from cryosway.simulate import adenylate_kinase_states, simulate
from cryosway.simulate._options import SimulateOptions
from cryosway.simulate._states import load_states
from cryosway.validate import auc_fsc, fsc

BOX, PIXEL, COUNT = 32, 3.5, 300
HOW = {"threads": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def states():
    options = SimulateOptions(box=BOX, pixel_size=PIXEL, superpose=False)
    return load_states(adenylate_kinase_states(5)[1:4], options).atoms


@pytest.fixture(scope="module")
def images(states, tmp_path_factory):
    return simulate(
        list(states), tmp_path_factory.mktemp("set") / "set", n=COUNT, box=BOX,
        pixel_size=PIXEL, snr=1.0, seed=1, superpose=False, shift=5.0, threads=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def job(images, states, tmp_path_factory):
    model = tmp_path_factory.mktemp("model") / "model.cif"
    write_structure(model, states[1])
    quick = {"epochs": 6, "modes": 8, "rounds": 1, "latent_dim": 1, "batch_size": 16}
    folder = tmp_path_factory.mktemp("job") / "job"
    return structural(images.particles, folder, model=model, **quick, **HOW)


@pytest.fixture(scope="module")
def moved(job, tmp_path_factory):
    return density(job, tmp_path_factory.mktemp("moved") / "out", by="deformed", **HOW)


@pytest.fixture(scope="module")
def near(job, tmp_path_factory):
    return density(job, tmp_path_factory.mktemp("near") / "out", clusters=2, **HOW)


def read(job, name):
    return read_map(job.path / "volumes" / f"{name}.mrc")[0]


def test_moving_particles_sharpens_the_reference(moved, images):
    """In what moves, the map of the true reference is found better than by averaging."""
    truth, region = read_map(images.volumes[1])[0], read(moved, "region")

    def agreement(name):
        halves = [read(moved, f"{name}_half{number}") for number in (1, 2)]
        return auc_fsc(fsc(np.mean(halves, axis=0), truth, region))

    assert agreement("mean") > agreement("unmoved") + 0.01
    gain = moved.info["density"]
    assert gain["auc_fsc_region_after"] > gain["auc_fsc_region_before"]


def test_job_of_one_state_answers_without_a_latent(moved):
    assert moved.volume().shape == (BOX, BOX, BOX)
    first, second = moved.half_maps()
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.3
    curves = read_json(moved.path / "curves.json")["fsc"]
    assert len(curves) == 4
    assert np.allclose(moved.fsc(), curves[0]["value"])
    assert moved.latents.shape == (COUNT, 0)
    assert (moved.particles["displacement"] > 0).all()


def test_tells_what_was_done_and_the_report_shows_it(moved):
    told = {entry["what"]: entry for entry in read_json(moved.path / "decisions.json")}
    assert told["state"]["value"] == "the reference"
    assert "each half-map is made from its own images" in told["half-sets"]["why"]
    assert "beads that move most" in told["moving region"]["why"]
    page = cs.report(moved).read_text()
    assert "Deformed backprojection" in page
    assert "moving region, as they are" in page


def test_resumes_where_it_stopped(job, tmp_path, monkeypatch):
    """What the first run has solved, the second does not solve again."""
    options = {"by": "deformed", "iterations": 1, "region": "none", **HOW}

    def stop(*_):
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(_density_deformed, "write_moved", stop)
        with pytest.raises(RuntimeError):
            density(job, tmp_path / "out", **options)
    monkeypatch.setattr(_density_deformed, "solve_moved", stop)
    monkeypatch.setattr(_density_deformed, "accumulate_weighted", stop)
    done = density(job, tmp_path / "out", **options)
    assert done.status == "finished"
    assert "auc_fsc_region_after" not in done.info["density"]


def test_another_state_is_another_map(job, moved, tmp_path):
    """At the latent of a particle of the last state, the map is more of that state."""
    far = int(np.argmax(np.abs(job.latents[:, 0])))
    out = density(
        job, tmp_path / "out", by="deformed", state=f"particle:{far}", iterations=4, **HOW
    )
    entry = next(one for one in out.volumes if one["kind"] == "mean")
    assert entry["z"] == pytest.approx(job.latents[far].tolist())
    model = job.volume(job.latents[far])
    mask = read(out, "mask")

    def like(volume):
        return np.corrcoef((volume * mask).ravel(), (model * mask).ravel())[0, 1]

    assert like(out.volume()) > like(moved.volume())


def test_kernel_maps_lie_beside_the_models(near, job):
    kinds = [entry["kind"] for entry in near.volumes]
    assert kinds.count("cluster") == 2
    for number in (1, 2):
        entry = next(one for one in near.volumes if one["file"] == f"cluster_{number}.mrc")
        made, model = read(near, f"cluster_{number}"), read(near, f"model_{number}")
        mask = read(near, "mask")
        assert np.corrcoef((made * mask).ravel(), (model * mask).ravel())[0, 1] > 0.6
        assert len(entry["half_maps"]) == 2
        assert entry["population"] > 10
    z = near.latents[0]
    np.testing.assert_allclose(near.latents, job.latents)
    assert near.volume(z).shape == (BOX, BOX, BOX)
    assert near.fsc(z).shape == (BOX // 2,)
    assert 1 < near.n_effective(z) <= COUNT


def test_network_learns_density_on_the_latents_that_are_there(job, tmp_path):
    made = density(job, tmp_path / "out", by="network", epochs=1, **HOW)
    np.testing.assert_allclose(made.latents, job.latents, atol=1e-6)
    z = job.latents[0]
    consensus = read(made, "mean")
    assert np.corrcoef(made.volume(z).ravel(), consensus.ravel())[0, 1] > 0.8
    assert made.half_maps(z)[0].shape == (BOX, BOX, BOX)


def test_frames_are_the_same_kept_or_made_anew(job):
    data = DensityData.open(job)
    moving = MovingFrames(data.model.coarse.neighbourhoods)
    frames = ParticleFrames(data, moving)
    rows = np.array([3, 7, 4])
    first = frames(rows)
    torch.testing.assert_close(frames(rows), first)
    frames._kept = None
    torch.testing.assert_close(frames(rows), first)
    # A frame takes its own bead to where the model has it.
    beads = data.model.beads(data.latents[rows])
    own = torch.from_numpy(moving.reference).float()
    at = (first[..., :3] @ own[..., None])[..., 0] + first[..., 3]
    torch.testing.assert_close(at, beads, atol=1e-3, rtol=0)


def test_region_is_what_moves(job):
    data = DensityData.open(job)
    coarse = data.model.coarse
    motion = np.linspace(0, 1, len(coarse))
    region = find_moving(motion)
    assert region.chosen.sum() == round(len(coarse) / 4)
    assert motion[region.chosen].min() > motion[~region.chosen].max()
    mask = mask_state(coarse, coarse.coordinates, data.mask, PIXEL)
    part = mask_region(coarse, coarse.coordinates, region, mask, PIXEL)
    assert (mask >= data.mask).all()
    assert 0.05 < float(part.sum() / mask.sum()) < 0.7
    assert mask_around(np.array([[500.0, 0, 0]]), BOX, PIXEL).sum() == 0


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("cluster:1", "run cryosway landscape"),
        ("particle:900", "rows are 0 to 299"),
        ("open", "cannot be read: give reference, cluster:NUMBER"),
        ("1,2", "cannot be read"),
    ],
)
def test_says_which_state_is_not_there(job, state, message):
    with pytest.raises(CryoswayError, match=message):
        find_state(state, job)


def test_latent_may_be_given_as_numbers(job):
    assert find_state("-0.5", job).latent.tolist() == [-0.5]
    assert find_state("reference", job).latent is None


def test_refuses_other_jobs(moved, tmp_path):
    with pytest.raises(CryoswayError, match="density takes a job of cryosway structural"):
        density(moved, tmp_path / "out")
