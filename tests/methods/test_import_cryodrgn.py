"""Folders that cryoDRGN 4.3.1 trained, and the maps that its eval_vol made of them."""

import os
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import cryosway as cs
from cryosway import CryoswayError, CryoswayWarning
from cryosway.cli import main
from cryosway.methods._cryodrgn.folder import TrainingFolder
from cryosway.methods._cryodrgn.model import CryodrgnModel
from cryosway.particles import load_array_series, load_torch_archive, read_map

DATA = Path(__file__).parents[1] / "data" / "cryodrgn"
MODELS = ("vae_fourier", "vae_hartley", "dec_hartley", "dec_fourier", "abinit")
LATENTS = {name: ([0.3, -0.7], [-1.5, 0.9]) for name in MODELS}
LATENTS["dec_fourier"] = ([0.5], [-1.25])
REFERENCES = [
    (name, z, f"eval_vol_{number}.mrc")
    for name, latents in LATENTS.items()
    for number, z in enumerate(latents, start=1)
] + [("nn_fourier", None, "reconstruct.mrc")]


@pytest.fixture
def trained(tmp_path):
    """A copy of the folder of one training beside its data, free to be changed."""

    def copy(name="vae_fourier"):
        place = Path(shutil.copytree(DATA, tmp_path / "work"))
        return place / name

    return copy


@pytest.fixture
def change_settings():
    def change(folder, section, **values):
        settings = yaml.safe_load((folder / "config.yaml").read_text())
        settings[section] |= values
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))

    return change


class Malice:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


# -- volumes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "z", "reference"), REFERENCES)
@pytest.mark.filterwarnings("ignore:the images are not there. cryodrgn abinit")
def test_volumes_are_those_of_eval_vol(tmp_path, name, z, reference):
    job = cs.import_cryodrgn(DATA / name, tmp_path / "job")
    volume, expected = job.volume(z), read_map(DATA / name / reference)[0]
    assert volume.shape == (12, 12, 12)
    assert volume.dtype == np.float32
    assert np.corrcoef(volume.ravel(), expected.ravel())[0, 1] > 0.999999
    assert np.linalg.norm(volume - expected) < 1e-5 * np.linalg.norm(expected)  # scale and sign


def test_the_seam_of_a_network_without_encoding(trained, change_settings):
    """Friedel's law holds off the plane kz = 0, where cryoDRGN evaluates both halves."""
    folder = trained("dec_fourier")
    weights = load_torch_archive(folder / "weights.pkl")
    state = {n: torch.tensor(v) for n, v in weights["model_state_dict"].items()}
    first = state["decoder.main.0.weight"]
    state["decoder.main.0.weight"] = torch.cat([first[:, :3] * 9, first[:, -1:]], dim=1)
    torch.save({"model_state_dict": state}, folder / "weights.pkl")
    change_settings(folder, "model_args", pe_type="none")
    model = CryodrgnModel.read(TrainingFolder.open(folder), 1.0)
    density = torch.tensor(model.volume([0.4])).double()
    spectrum = torch.fft.fftshift(torch.fft.fftn(torch.fft.ifftshift(density))) / model.scale
    hartley = (spectrum.real - spectrum.imag).numpy()

    def plain(x, y, z):
        values = torch.tensor([x, y, z, 0.4 * 12]) / 12
        for number in (0, 2, 4, 6):
            name = f"decoder.main.{number}" + (".linear" if number in (2, 4) else "")
            out = state[f"{name}.weight"] @ values + state[f"{name}.bias"]
            out = out + values if number in (2, 4) else out
            values = torch.relu(out) if number < 6 else out
        return values.numpy()

    for x, y, z in [(2, -1, -3), (2, 1, 0), (-2, -1, 0), (0, 0, 0), (3, 0, 0)]:
        re, im = plain(x, y, z)
        np.testing.assert_allclose(hartley[6 + z, 6 + y, 6 + x], re - im, atol=1e-4)
    re, im = plain(-2, 1, -3)
    np.testing.assert_allclose(hartley[6 + 3, 6 - 1, 6 + 2], re + im, atol=1e-4)


# -- everything else -------------------------------------------------------------------------------


def test_job_holds_latents_poses_and_images(tmp_path):
    job = cs.import_cryodrgn(DATA / "vae_fourier", tmp_path / "job")
    assert (job.status, job.info["command"]) == ("finished", "import-cryodrgn")
    assert (job.box, job.pixel_size) == (12, 12.0)
    mean, log_variance = load_array_series(DATA / "vae_fourier" / "z.pkl")
    np.testing.assert_array_equal(job.latents, mean.astype(np.float64))
    np.testing.assert_allclose(job.latent_sd**2, np.exp(log_variance), rtol=1e-6)
    particles = cs.read_particles(job.path / "particles.star")
    poses = {"poses": DATA / "pose.pkl", "ctf": DATA / "ctf.pkl"}
    expected = cs.read_particles(DATA / "particles.mrcs", **poses)
    np.testing.assert_allclose(particles.rotations, expected.rotations, atol=1e-6)
    np.testing.assert_allclose(particles.shifts, expected.shifts, atol=1e-4)
    np.testing.assert_array_equal(particles.images(), expected.images())
    assert job.particles["defocus_u"].between(5e3, 3e4).all()
    assert read_map(job.path / "volumes" / "mean.mrc")[1].pixel_size == 12.0
    metrics = (job.path / "metrics.csv").read_text().splitlines()
    assert metrics[0] == "epoch,loss,kld"
    assert len(metrics) == 3


def test_table_of_latents_has_no_uncertainty(tmp_path):
    assert cs.import_cryodrgn(DATA / "dec_hartley", tmp_path / "job").latent_sd is None


def test_landscape_volumes_and_report_work(tmp_path, capsys):
    job = tmp_path / "job"
    assert main(["import-cryodrgn", str(DATA / "vae_fourier"), "--out", str(job)]) == 0
    assert str(job) in capsys.readouterr().out
    cs.landscape(job, clusters=2, umap=False, path_points=2)
    assert cs.report(job).exists()
    (path,) = cs.write_volumes(job, tmp_path / "maps", latents=[[0.3, -0.7]])
    expected = read_map(DATA / "vae_fourier" / "eval_vol_1.mrc")[0]
    np.testing.assert_allclose(read_map(path)[0], expected, atol=1e-5 * expected.max())


def test_earlier_epochs(tmp_path):
    first = cs.import_cryodrgn(DATA / "vae_fourier", tmp_path / "first", epoch=1)
    final = cs.import_cryodrgn(DATA / "vae_fourier", tmp_path / "final")
    assert not np.array_equal(first.latents, final.latents)
    assert not np.allclose(first.volume([0, 0]), final.volume([0, 0]))
    with pytest.raises(CryoswayError, match="has no weights of epoch 7; there are 1"):
        cs.import_cryodrgn(DATA / "vae_fourier", tmp_path / "none", epoch=7)


def test_folder_without_final_weights_gives_its_last_epoch(trained, tmp_path):
    folder = trained()
    (folder / "weights.pkl").unlink()
    expected = load_array_series(folder / "z.1.pkl")[0]
    job = cs.import_cryodrgn(folder, tmp_path / "job")
    np.testing.assert_allclose(job.latents, expected)
    (folder / "weights.1.pkl").unlink()
    with pytest.raises(CryoswayError, match="holds no weights"):
        cs.import_cryodrgn(folder, tmp_path / "none")


def test_moved_images(trained, tmp_path):
    folder = trained()
    moved = tmp_path / "elsewhere.mrcs"
    (folder.parent / "particles.mrcs").rename(moved)
    with pytest.warns(CryoswayWarning, match=r"particles\.mrcs is not there; give --particles"):
        job = cs.import_cryodrgn(folder, tmp_path / "without")
    assert job.latents.shape == (24, 2)
    assert {"rot", "defocus_u", "shift_x"} <= set(job.particles)
    assert (job.pixel_size, job.particles["image_name"][0]) == (12.0, "000001@particles.mrcs")
    whole = cs.import_cryodrgn(folder, tmp_path / "with", particles=moved)
    for name in ("rot", "tilt", "psi", "shift_x", "shift_y", "defocus_u"):
        np.testing.assert_allclose(job.particles[name], whole.particles[name], atol=1e-4)


def test_latents_alone_will_do(trained, tmp_path):
    folder = trained()
    for name in ("particles.mrcs", "pose.pkl", "ctf.pkl"):
        (folder.parent / name).unlink()
    with pytest.warns(CryoswayWarning) as caught:
        job = cs.import_cryodrgn(folder, tmp_path / "job")
    assert any("the pixel size is not known" in str(w.message) for w in caught)
    assert list(job.particles) == ["index", "image_name", "z1", "z2", "z1_sd", "z2_sd"]
    assert job.volume(job.latents[3]).shape == (12, 12, 12)


def test_tilt_series_give_latents_and_maps(trained, tmp_path, change_settings):
    folder = trained()
    change_settings(folder, "model_args", encode_mode="tilt")
    with pytest.warns(CryoswayWarning, match="trained on tilt series"):
        job = cs.import_cryodrgn(folder, tmp_path / "job")
    assert list(job.particles) == ["index", "image_name", "z1", "z2", "z1_sd", "z2_sd"]
    assert job.pixel_size == 12.0


def test_abinit_gives_latents_and_maps(tmp_path):
    with pytest.warns(CryoswayWarning, match="abinit searched for the poses"):
        job = cs.import_cryodrgn(DATA / "abinit", tmp_path / "job")
    expected = load_array_series(DATA / "abinit" / "z.2.pkl")[0]
    np.testing.assert_allclose(job.latents, expected)
    assert (job.latent_sd, job.pixel_size) == (None, 12.0)
    assert len((job.path / "metrics.csv").read_text().splitlines()) == 4  # epochs 0, 1, 2


def test_training_on_a_selection(trained, tmp_path, change_settings):
    folder = trained()
    rows = np.array([3, 5, 20])
    (folder.parent / "chosen.pkl").write_bytes(pickle.dumps(rows))
    mean, log_variance = load_array_series(folder / "z.pkl")
    with (folder / "z.pkl").open("wb") as file:
        pickle.dump(mean[rows], file)
        pickle.dump(log_variance[rows], file)
    with pytest.raises(CryoswayError, match=r"has 24 rows, but there are latents of 3 particles"):
        cs.import_cryodrgn(folder, tmp_path / "none")
    change_settings(folder, "dataset_args", ind="/data/chosen.pkl")
    job = cs.import_cryodrgn(folder, tmp_path / "job")
    everything = cs.import_cryodrgn(DATA / "vae_fourier", tmp_path / "all")
    for name in ("index", "image_name", "rot", "defocus_u"):
        assert job.particles[name].tolist() == everything.particles[name][rows].tolist()
    (folder.parent / "chosen.pkl").write_bytes(pickle.dumps(rows[:2]))
    with pytest.raises(CryoswayError, match="selects 2 particles, but there are latents of 3"):
        cs.import_cryodrgn(folder, tmp_path / "wrong")
    (folder.parent / "chosen.pkl").unlink()
    with pytest.raises(CryoswayError, match=r"trained on a selection .* that is not there"):
        cs.import_cryodrgn(folder, tmp_path / "lost")


def test_refined_poses_are_taken(trained, tmp_path, change_settings):
    folder = trained()
    rotations, shifts = load_array_series(folder.parent / "pose.pkl")[0]
    turned = rotations[::-1].copy()
    before = cs.import_cryodrgn(folder, tmp_path / "fixed").particles
    (folder / "pose.pkl").write_bytes(pickle.dumps((turned, shifts / 2)))
    change_settings(folder, "dataset_args", do_pose_sgd=True)
    after = cs.import_cryodrgn(folder, tmp_path / "refined").particles
    np.testing.assert_allclose(after["shift_x"], before["shift_x"] / 2, atol=1e-9)
    np.testing.assert_allclose(after["tilt"], before["tilt"][::-1], atol=1e-6)
    (folder / "pose.pkl").write_bytes(pickle.dumps((turned, shifts / 13**2)))  # as on CPUs
    with pytest.warns(CryoswayWarning, match="far smaller than those at the start"):
        after = cs.import_cryodrgn(folder, tmp_path / "mended").particles
    np.testing.assert_allclose(after["shift_x"], before["shift_x"], atol=1e-9)


def test_folders_of_early_versions(trained, tmp_path):
    """Settings in a pickle, weights in PyTorch's old format, names as on several GPUs."""
    folder = trained()
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    settings = {name: settings[name] for name in ("dataset_args", "lattice_args", "model_args")}
    settings["dataset_args"]["norm"] = tuple(np.float32(settings["dataset_args"]["norm"]))
    (folder / "config.pkl").write_bytes(pickle.dumps(settings, 2))
    (folder / "config.yaml").unlink()
    weights = load_torch_archive(folder / "weights.pkl")["model_state_dict"]
    state = {f"module.{name}": torch.tensor(value) for name, value in weights.items()}
    torch.save(
        {"model_state_dict": state}, folder / "weights.pkl", _use_new_zipfile_serialization=False
    )
    job = cs.import_cryodrgn(folder, tmp_path / "job")
    expected = read_map(DATA / "vae_fourier" / "eval_vol_1.mrc")[0]
    np.testing.assert_allclose(job.volume([0.3, -0.7]), expected, atol=1e-5 * expected.max())


def test_settings_with_tuples_and_numbers_of_numpy(trained, tmp_path):
    folder = trained()
    text = (folder / "config.yaml").read_text()
    found = re.search(r"norm:\n  - 0\.0\n  - ([\d.]+)\n", text)
    norm = yaml.dump({"norm": (0.0, np.float64(found.group(1)))})
    assert "python/tuple" in norm
    assert "multiarray.scalar" in norm
    indented = "".join(f"  {line}\n" for line in norm.splitlines()).removeprefix("  ")
    (folder / "config.yaml").write_text(text.replace(found.group(0), indented))
    job = cs.import_cryodrgn(folder, tmp_path / "job")
    expected = read_map(DATA / "vae_fourier" / "eval_vol_1.mrc")[0]
    np.testing.assert_allclose(job.volume([0.3, -0.7]), expected, atol=1e-5 * expected.max())


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weights", "z", "pose", "ctf", "config", "ind", "refined"])
def test_malice_in_any_file_is_refused_and_not_run(trained, tmp_path, change_settings, name):
    folder, marker = trained(), tmp_path / "harm"
    bad = pickle.dumps(Malice(marker))
    if name == "weights":
        torch.save({"model_state_dict": Malice(marker)}, folder / "weights.pkl")
    elif name == "config":
        (folder / "config.yaml").unlink()
        (folder / "config.pkl").write_bytes(bad)
    elif name in ("pose", "ctf"):
        (folder.parent / f"{name}.pkl").write_bytes(bad)
    elif name == "refined":
        change_settings(folder, "dataset_args", do_pose_sgd=True)
        (folder / "pose.pkl").write_bytes(bad)
    elif name == "ind":
        change_settings(folder, "dataset_args", ind="ind.pkl")
        (folder / "ind.pkl").write_bytes(bad)
    else:
        (folder / "z.pkl").write_bytes(bad)
    with pytest.raises(CryoswayError, match=r"\.pkl was refused: a .* is expected, but it asks"):
        cs.import_cryodrgn(folder, tmp_path / "job")
    assert not marker.exists()


@pytest.mark.parametrize(
    "tag", ["object/apply:os.system ['touch {}']", "object/new:os.system ['touch {}']"]
)
def test_malice_in_settings_is_refused_and_not_run(trained, tmp_path, tag):
    folder, marker = trained(), tmp_path / "harm"
    with (folder / "config.yaml").open("a") as file:
        file.write(f"extra: !!python/{tag.format(marker)}\n")
    with pytest.raises(CryoswayError, match=r"config\.yaml was refused: plain settings"):
        cs.import_cryodrgn(folder, tmp_path / "job")
    assert not marker.exists()


def test_sentences_of_refusal(trained, tmp_path, change_settings):
    folder, out = trained(), tmp_path / "job"
    for place, sentence in [
        (tmp_path / "none", "is not a folder; give the one that was cryodrgn's --outdir"),
        (folder.parent, r"is not a training folder of cryoDRGN, since it holds no config\.yaml"),
    ]:
        with pytest.raises(CryoswayError, match=sentence):
            cs.import_cryodrgn(place, out)
    with pytest.raises(CryoswayError, match="there is no option 'epok'; did you mean 'epoch'"):
        cs.import_cryodrgn(folder, out, epok=3)
    change_settings(folder, "model_args", activation="leaky_relu")
    with pytest.raises(CryoswayError, match=r"cannot decode .* the activation 'leaky_relu'"):
        cs.import_cryodrgn(folder, out)
    change_settings(folder, "model_args", activation="relu", pe_type="vanilla")
    with pytest.raises(CryoswayError, match="the positional encoding 'vanilla'"):
        cs.import_cryodrgn(folder, out)
    change_settings(folder, "model_args", pe_type="gaussian", zdim=3)
    with pytest.raises(CryoswayError, match="written over by another training"):
        cs.import_cryodrgn(folder, out)
    torch.save({"state_dict": {}}, folder / "weights.pkl")
    change_settings(folder, "model_args", zdim=2)
    with pytest.raises(CryoswayError, match="holds no weights of cryoDRGN"):
        cs.import_cryodrgn(folder, out, overwrite=True)
    (folder / "config.yaml").write_text("a: [1")
    with pytest.raises(CryoswayError, match="is not a readable YAML file"):
        cs.import_cryodrgn(folder, out)
    (folder / "config.yaml").write_text("a: 1")
    with pytest.raises(CryoswayError, match="the settings have no section"):
        cs.import_cryodrgn(folder, out)
