"""What is exported is read back as what it was, by our readers and by cryoDRGN's rules."""

import itertools
import pickle
import pickletools
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import cryosway as cs
from cryosway import CryoswayError, CryoswayWarning
from cryosway.cli import main
from cryosway.engine import JobFolder, write_table
from cryosway.methods._job_files import particles_table
from cryosway.particles import load_array_series, load_arrays, read_map

DATA = Path(__file__).parents[1] / "data" / "cryodrgn"


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    job = tmp_path_factory.mktemp("jobs") / "job"
    cs.import_cryodrgn(DATA / "vae_fourier", job)
    return cs.landscape(job, clusters=3, umap=False, path_points=2, directions=1)


@pytest.fixture
def other_job(tmp_path, one_state):
    """A job as linear leaves it, without its maps: protein dark, latents known."""
    particles = cs.read_particles(one_state.particles)[5:25]
    rng = np.random.default_rng(0)
    latents, sd = rng.normal(size=(20, 3)), rng.uniform(0.1, 1, (20, 3))
    with JobFolder.start(tmp_path / "linear", "linear", {}) as job:
        particles.write(job.path / "particles.star", absolute_paths=True)
        table = particles_table(
            particles, index=np.arange(5, 25), latents=latents, latent_sd=sd, sign=np.full(20, -1)
        )
        write_table(job.path / "particles.parquet", table)
    return cs.open_job(tmp_path / "linear")


@pytest.mark.parametrize("name", ["vae_fourier", "vae_hartley", "dec_hartley", "dec_fourier"])
def test_what_came_from_cryodrgn_goes_back_as_it_was(tmp_path, name):
    job = cs.import_cryodrgn(DATA / name, tmp_path / "job")
    out = cs.export(job, tmp_path / "out", to="cryodrgn")
    again = cs.import_cryodrgn(out, tmp_path / "again")
    np.testing.assert_allclose(again.latents, job.latents, rtol=1e-6)
    if job.latent_sd is not None:
        np.testing.assert_allclose(again.latent_sd, job.latent_sd, rtol=1e-6)
    z = job.latents[3]
    np.testing.assert_allclose(again.volume(z), job.volume(z), atol=1e-5 * job.volume(z).std())
    for column in ("rot", "tilt", "psi", "shift_x", "shift_y", "defocus_u", "pixel_size"):
        np.testing.assert_allclose(again.particles[column], job.particles[column], rtol=1e-6)
    before, after = (
        yaml.safe_load((folder / "config.yaml").read_text()) for folder in (DATA / name, out)
    )
    assert after["dataset_args"]["invert_data"] == before["dataset_args"]["invert_data"]
    assert after["lattice_args"] == before["lattice_args"]


def test_weights_have_the_names_and_values_of_train_dec(tmp_path):
    """The network of train_dec comes back number by number."""
    from cryosway.particles import load_torch_archive

    job = cs.import_cryodrgn(DATA / "dec_fourier", tmp_path / "job")
    out = cs.export(job, tmp_path / "out", to="cryodrgn")
    before, after = (
        load_torch_archive(path / "weights.pkl")["model_state_dict"]
        for path in (DATA / "dec_fourier", out)
    )
    assert list(after) == list(before)
    for name in before:
        np.testing.assert_allclose(after[name], before[name], atol=1e-6)


def test_pickles_hold_arrays_of_protocol_2(imported, tmp_path):
    out = cs.export(imported, tmp_path / "out", to="cryodrgn")
    for name in ("poses", "ctf", "z", "ind"):
        content = (out / f"{name}.pkl").read_bytes()
        assert content[:2] == b"\x80\x02"
        asked = {
            argument
            for operation, argument, _ in pickletools.genops(content)
            if operation.name == "GLOBAL"
        }
        assert asked <= {
            "numpy._core.multiarray _reconstruct",
            "numpy.core.multiarray _reconstruct",
            "numpy ndarray",
            "numpy dtype",
            "_codecs encode",
        }
    rotations, shifts = load_arrays(out / "poses.pkl")
    assert (rotations.shape, shifts.shape) == ((24, 3, 3), (24, 2))
    given = load_arrays(DATA / "pose.pkl")
    np.testing.assert_allclose(rotations, given[0], atol=1e-6)
    np.testing.assert_allclose(shifts, given[1], atol=1e-6)  # fractions of the box
    np.testing.assert_allclose(load_arrays(out / "ctf.pkl"), load_arrays(DATA / "ctf.pkl"))
    mean, log_variance = load_array_series(out / "z.pkl")
    np.testing.assert_allclose(log_variance, 2 * np.log(imported.latent_sd), rtol=1e-5)
    np.testing.assert_allclose(mean, imported.latents, rtol=1e-6)


def test_selections(imported, tmp_path):
    table = imported.particles
    wanted = np.flatnonzero(table["cluster"].isin([1, 3]))
    out = cs.export(imported, tmp_path / "out", to="cryodrgn", clusters=(1, 3))
    assert load_arrays(out / "ind.pkl").tolist() == wanted.tolist()
    particles = cs.read_particles(
        out / "particles.star", poses=out / "poses.pkl", ctf=out / "ctf.pkl"
    )
    everything = cs.read_particles(DATA / "particles.mrcs", ctf=DATA / "ctf.pkl")
    np.testing.assert_array_equal(particles.images(), everything.images()[wanted])
    np.testing.assert_allclose(load_array_series(out / "z.pkl")[0], imported.latents[wanted])
    rows = tmp_path / "rows.txt"
    rows.write_text("0\n5\n7\n")
    both = cs.export(imported, tmp_path / "both", to="relion", clusters=(1, 2, 3), rows=rows)
    assert len(cs.read_particles(both / "particles.star")) == 3
    np.save(tmp_path / "rows.npy", np.array([5, 0]))
    (tmp_path / "rows.pkl").write_bytes(pickle.dumps(np.arange(24) == 5))
    for name, count in (("rows.npy", 2), ("rows.pkl", 1)):
        made = cs.export(imported, tmp_path / name[5:], to="cryosparc", rows=tmp_path / name)
        found = cs.read_particles(made / "particles.cs", images_dir=DATA)
        assert len(found) == count
        at_five = found.rotations[-1]
        np.testing.assert_allclose(at_five, load_arrays(DATA / "pose.pkl")[0][5], atol=1e-5)


def test_other_jobs_give_particles_and_latents(other_job, tmp_path, one_state):
    with pytest.warns(CryoswayWarning, match="cannot hold the decoder of a linear job"):
        out = cs.export(other_job, tmp_path / "out", to="cryodrgn")
    assert not (out / "weights.pkl").exists()
    assert load_arrays(out / "ind.pkl").tolist() == list(range(5, 25))
    np.testing.assert_allclose(load_array_series(out / "z.pkl")[0], other_job.latents, rtol=1e-5)
    commands = (out / "commands.txt").read_text()
    assert "--uninvert-data --zdim 3 --load-z z.pkl" in commands
    assert "analyze" not in commands
    (other_job.path / "particles.star").unlink()
    with pytest.raises(CryoswayError, match=r"give the file .* with --particles"):
        cs.export(other_job, tmp_path / "none", to="relion")
    again = cs.export(other_job, tmp_path / "again", to="relion", particles=one_state.particles)
    kept = cs.read_particles(again / "particles.star")
    expected = cs.read_particles(one_state.particles)[5:25]
    np.testing.assert_allclose(kept.rotations, expected.rotations, atol=1e-6)
    assert kept.source["image_index"].tolist() == list(range(5, 25))


def test_particles_of_a_selection_are_found_in_the_whole(tmp_path):
    """Of a training on a selection, `index` says which rows of the input they are."""
    folder = Path(shutil.copytree(DATA, tmp_path / "work")) / "dec_hartley"
    rows = np.array([20, 3, 5])
    (folder / "z.pkl").write_bytes(pickle.dumps(load_arrays(folder / "z.pkl")[rows]))
    (folder / "ind.pkl").write_bytes(pickle.dumps(rows))
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    settings["dataset_args"]["ind"] = "ind.pkl"
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    job = cs.import_cryodrgn(folder, tmp_path / "job")
    out = cs.export(job, tmp_path / "out", to="cryodrgn")
    assert load_arrays(out / "ind.pkl").tolist() == rows.tolist()
    inside = cs.read_particles(out / "particles.star")
    whole = cs.read_particles(
        folder.parent / "particles.mrcs",
        poses=folder.parent / "pose.pkl",
        ctf=folder.parent / "ctf.pkl",
    )
    whole.write(tmp_path / "whole.star", absolute_paths=True)
    outside = cs.export(job, tmp_path / "again", to="relion", particles=tmp_path / "whole.star")
    again = cs.read_particles(outside / "particles.star")
    np.testing.assert_array_equal(again.images(), inside.images())
    np.testing.assert_array_equal(again.images(), whole.images()[rows])


def test_command_line(imported, tmp_path, capsys):
    arguments = ["export", str(imported.path), "--to", "cryodrgn", "--out", str(tmp_path / "out")]
    assert main([*arguments, "--clusters", "1", "--clusters", "2"]) == 0
    assert str(tmp_path / "out") in capsys.readouterr().out
    job = cs.import_cryodrgn(tmp_path / "out", tmp_path / "job")
    z = [0.3, -0.7]
    expected = read_map(DATA / "vae_fourier" / "eval_vol_1.mrc")[0]
    np.testing.assert_allclose(job.volume(z), expected, atol=1e-5 * expected.max())


def test_sentences(imported, tmp_path):
    out = tmp_path / "out"
    rows = tmp_path / "rows.txt"
    rows.write_text("3\n24\n")
    for options, sentence in [
        ({"to": "cryodrgn", "clusters": (9,)}, "there is no cluster 9; there are 1, 2, 3"),
        ({"to": "relion", "rows": rows}, "does not hold row numbers from 0 to 23"),
        ({"to": "relion", "rows": tmp_path / "x.npy"}, "cannot be read as row numbers"),
        ({"to": "eman"}, "export: to"),
    ]:
        with pytest.raises(CryoswayError, match=sentence):
            cs.export(imported, out, **options)
    job = cs.import_cryodrgn(DATA / "nn_fourier", tmp_path / "nn")
    with pytest.raises(CryoswayError, match="has no clusters; run cryosway landscape"):
        cs.export(job, out, to="relion", clusters=(1,))
    rows.write_text("")
    with pytest.raises(CryoswayError, match="no particle is in this selection"):
        cs.export(imported, out, to="relion", rows=rows)


class TestChimerax:
    @staticmethod
    def read_session(folder):
        lines = (folder / "session.cxc").read_text().splitlines()
        opened = [line for line in lines if line.startswith("open ")]
        files = [[folder / name for name in line.split('"')[1::2]] for line in opened]
        return lines, files

    def test_clusters_and_directions_of_the_landscape(self, imported, tmp_path):
        out = cs.export(imported, tmp_path / "out", to="chimerax")
        moved = Path(shutil.move(out, tmp_path / "moved"))
        lines, files = self.read_session(moved)
        assert [len(group) for group in files] == [1, 1, 1, 1, 2, 1]  # mean, clusters, a series
        assert files.pop() == [moved / "chimerax" / "change_direction_1.mrc"]
        assert sum(line.endswith("vseries true") for line in lines) == 1
        for path in (path for group in files for path in group):
            ours, info = read_map(path)
            theirs, their_info = read_map(imported.path / "volumes" / path.name)
            np.testing.assert_array_equal(ours, theirs)
            assert info.pixel_size == their_info.pixel_size
        levels = {line.split(" level ")[1].split()[0] for line in lines if " level " in line}
        mean = read_map(files[0][0])[0]
        assert mean.mean() < float(*levels) < mean.max()

    def test_chosen_clusters(self, imported, tmp_path):
        out = cs.export(imported, tmp_path / "out", to="chimerax", clusters=(1, 3))
        names = [path.name for group in self.read_session(out)[1] for path in group]
        assert "cluster_01.mrc" in names and "cluster_03.mrc" in names
        assert "cluster_02.mrc" not in names and not (out / "volumes" / "cluster_02.mrc").exists()

    def test_without_landscape_the_first_direction_is_walked(self, tmp_path):
        job = cs.import_cryodrgn(DATA / "vae_fourier", tmp_path / "job")
        out = cs.export(job, tmp_path / "out", to="chimerax")
        _, (mean, series, _) = self.read_session(out)
        assert (len(mean), len(series)) == (1, 7)
        made = [read_map(path)[0] for path in series]
        steps = [np.linalg.norm(a - b) for a, b in itertools.pairwise(made)]
        assert np.linalg.norm(made[0] - made[-1]) > max(steps) > 0  # it goes somewhere
        assert not (job.path / "landscape.json").exists()

    def test_a_job_without_latents(self, tmp_path):
        job = cs.import_cryodrgn(DATA / "nn_fourier", tmp_path / "job")
        out = cs.export(job, tmp_path / "out", to="chimerax")
        assert [len(group) for group in self.read_session(out)[1]] == [1]

    def test_sentences(self, imported, other_job, tmp_path):
        for job, options, sentence in [
            (imported, {"clusters": (9,)}, "no map of cluster 9; there are 1, 2, 3"),
            (imported, {"rows": tmp_path / "rows.npy"}, "of which none go to ChimeraX"),
            (other_job, {"clusters": (1,)}, "there are none; run cryosway landscape"),
        ]:
            with pytest.raises(CryoswayError, match=sentence):
                cs.export(job, tmp_path / "out", to="chimerax", **options)
        with JobFolder.start(tmp_path / "empty", "prepare", {}):
            pass
        with pytest.raises(CryoswayError, match="holds no maps"):
            cs.export(tmp_path / "empty", tmp_path / "out", to="chimerax")
