"""What is selected goes back as it came: columns, types, names and rows of the user's own file."""

import numpy as np
import pytest
from numpy.lib.recfunctions import append_fields

import cryosway as cs
from cryosway import CryoswayError, CryoswayWarning
from cryosway.cli import main
from cryosway.engine import JobFolder, write_table
from cryosway.methods._job_files import particles_table
from cryosway.methods._shared_choices import locate_particles

COUNT = 40


@pytest.fixture(scope="module")
def project(one_state, tmp_path_factory):
    """A data set of cryoSPARC, with fields that we do not know, and the same as STAR files."""
    folder = tmp_path_factory.mktemp("project")
    particles = cs.read_particles(one_state.particles)
    chosen = particles[np.random.default_rng(5).permutation(len(particles))[:COUNT]]
    chosen.write(folder / "plain.cs", absolute_paths=True)
    names = ["ours/weight", "location/micrograph_path"]
    fields = [np.arange(COUNT) / np.float32(3), np.zeros(COUNT, "S60")]
    records = append_fields(np.load(folder / "plain.cs"), names, fields, usemask=False)
    with (folder / "J1_particles.cs").open("wb") as file:
        np.save(file, records)
    (folder / "Extract").mkdir()
    (folder / "Extract" / "stack.mrcs").symlink_to(chosen.source["image_path"][0])
    text = chosen.write(folder / "absolute.star", absolute_paths=True).read_text()
    stack = str(chosen.records.store.layouts[0].path.resolve())
    (folder / "relative.star").write_text(text.replace(stack, "Extract/stack.mrcs"))
    return folder


def make_job(path, particles, turned=False):
    """A job as linear leaves it: with a copy of the particles, in poses corrected if `turned`."""
    with JobFolder.start(path, "linear", {}, sources=locate_particles(particles)) as folder:
        if turned:
            particles = particles.with_poses(particles.rotations[::-1], particles.shifts + 0.5)
        particles.write(folder.path / "particles.star", absolute_paths=True)
        table = particles_table(particles, latents=np.arange(COUNT)[:, None] - 20.0)
        write_table(folder.path / "particles.parquet", table)
    return cs.open_job(path)


def select(job, out, to="cryosparc", **options):
    cs.select(job, out, to=to, interval=("z1=0:",), **options)
    return np.load(out / "particles.cs") if to == "cryosparc" else out / "particles.star"


@pytest.fixture(params=["whole", "prepared"])
def job(request, project, tmp_path, monkeypatch):
    """A job on the data set, which is given as a user types it; or on what prepare made of it."""
    monkeypatch.chdir(project)
    particles = cs.read_particles("J1_particles.cs")
    if request.param == "prepared":
        made = cs.prepare(particles, tmp_path / "prepare", box=16)
        particles = cs.read_particles(made.path / "particles.star")
    return make_job(tmp_path / "linear", particles)


def test_every_field_type_and_row_goes_back(job, project, tmp_path):
    records = np.load(project / "J1_particles.cs")
    found = select(job, tmp_path / "out")
    assert found.dtype == records.dtype
    np.testing.assert_array_equal(found, records[20:])
    out = cs.export(job, tmp_path / "export", to="cryosparc", interval=(("z1", 0, 100),))
    np.testing.assert_array_equal(np.load(out / "particles.cs"), found)


def test_relion_gets_the_original_images_too(job, project, tmp_path):
    found = cs.read_particles(select(job, tmp_path / "out", to="relion"))
    whole = cs.read_particles(project / "J1_particles.cs")[20:]
    np.testing.assert_array_equal(found.images(), whole.images())
    np.testing.assert_allclose(found.shifts, whole.shifts, atol=1e-4)


@pytest.mark.parametrize("prepared", [False, True])
def test_corrected_poses_are_written_and_nothing_else(project, tmp_path, prepared):
    particles = cs.read_particles(project / "J1_particles.cs")
    whole = particles
    if prepared:
        made = cs.prepare(particles, tmp_path / "prepare", box=16)
        particles = cs.read_particles(made.path / "particles.star")
    job = make_job(tmp_path / "linear", particles, turned=True)
    records, found = np.load(project / "J1_particles.cs")[20:], select(job, tmp_path / "out")
    assert found.dtype == records.dtype
    changed = [n for n in records.dtype.names if not np.array_equal(found[n], records[n])]
    assert changed == ["alignments3D/shift", "alignments3D/pose"]
    again = cs.read_particles(tmp_path / "out" / "particles.cs")
    np.testing.assert_allclose(again.rotations, whole.rotations[::-1][20:], atol=1e-5)
    np.testing.assert_allclose(again.shifts, whole.shifts[20:] + 0.5, atol=1e-4)


def test_a_file_that_has_moved_is_asked_for(project, tmp_path):
    moved = tmp_path / "before.cs"
    moved.write_bytes((project / "J1_particles.cs").read_bytes())
    job = make_job(tmp_path / "linear", cs.read_particles(moved))
    moved.rename(tmp_path / "after.cs")
    with pytest.warns(CryoswayWarning, match=r"before\.cs is no longer there, so the fields .*"
                      r"does not use are lost; give that file with --particles"):  # fmt: skip
        found = select(job, tmp_path / "out")
    records = np.load(project / "J1_particles.cs")[20:]
    np.testing.assert_array_equal(found["uid"], records["uid"])
    assert set(found["location/micrograph_path"]) == {b""}, "empty names stay empty"
    given = select(job, tmp_path / "given", particles=tmp_path / "after.cs")
    np.testing.assert_array_equal(given, records)


def test_a_file_that_has_changed_is_not_taken(project, tmp_path):
    path = tmp_path / "input.cs"
    path.write_bytes((project / "J1_particles.cs").read_bytes())
    job = make_job(tmp_path / "linear", cs.read_particles(path))
    with path.open("wb") as file:
        np.save(file, np.load(project / "J1_particles.cs")[::-1])
    with pytest.warns(CryoswayWarning, match="holds other particles than when the job was made"):
        found = select(job, tmp_path / "out")
    records = np.load(project / "J1_particles.cs")[20:]
    np.testing.assert_array_equal(found["uid"], records["uid"])


def test_a_run_that_was_moved_still_knows_its_originals(project, tmp_path):
    particles = cs.read_particles(project / "J1_particles.cs")
    made = cs.prepare(particles, tmp_path / "run" / "prepare", box=16)
    make_job(tmp_path / "run" / "linear", cs.read_particles(made.path / "particles.star"))
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    found = select(tmp_path / "elsewhere" / "linear", tmp_path / "out")
    np.testing.assert_array_equal(found, np.load(project / "J1_particles.cs")[20:])


def test_names_of_stacks_stay_relative_within_the_project(project, tmp_path):
    """RELION reads them from the project, where it is started."""
    job = make_job(tmp_path / "linear", cs.read_particles(project / "relative.star"))
    inside = select(job, project / "Select" / "some", to="relion")
    last = (project / "relative.star").read_text().rstrip().splitlines()[-1]
    assert "@Extract/stack.mrcs" in last
    assert inside.read_text().rstrip().splitlines()[-1] == last
    outside = select(job, tmp_path / "out", to="relion")
    assert "@/" in outside.read_text().rstrip().splitlines()[-1]
    for path in (inside, outside):
        assert len(cs.read_particles(path)) == COUNT // 2


def test_command_line_notes_paths_made_absolute(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project)
    typed = ["prepare", "J1_particles.cs", "--images-dir", ".", "--box", "16"]
    assert main([*typed, "--out", str(tmp_path / "prepare")]) == 0
    info = cs.open_job(tmp_path / "prepare").info
    here = {"particles": [str(project / "J1_particles.cs")], "images_dir": str(project)}
    assert info["sources"] == here
    assert info["chosen"] == ["box"]


def test_particles_are_known_by_their_uid(project, tmp_path):
    """Of a job on a part of a file, and where the rows of the file have changed."""
    whole = cs.read_particles(project / "J1_particles.cs")
    job = make_job(tmp_path / "linear", whole[::-1])
    records = np.load(project / "J1_particles.cs")
    found = select(job, tmp_path / "out", particles=project / "J1_particles.cs")
    np.testing.assert_array_equal(found, records[::-1][20:])
    with (tmp_path / "part.cs").open("wb") as file:
        np.save(file, records[3:])
    lacking = f"lacks 3 of the 20 .* first is uid {records['uid'][2]}"
    with pytest.raises(CryoswayError, match=lacking):
        select(job, tmp_path / "none", particles=tmp_path / "part.cs")
