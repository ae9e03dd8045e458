"""Stacks are found where they were put."""

import numpy as np
import pytest

import cryosway as cs
from cryosway import CryoswayError, CryoswayWarning


def particles_of(make, written, **options):
    rows = make.rows(3, written)
    path = make.star("project/Refine3D/job009/run_data.star", rows=rows)
    return cs.read_particles(path, **options)


@pytest.fixture
def project(make):
    (make.folder / "project/Refine3D/job009").mkdir(parents=True)
    return make


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("Extract/job003/a.mrcs", "project/Extract/job003/a.mrcs"),  # relative to the project
        ("a.mrcs", "project/Refine3D/job009/a.mrcs"),  # beside the STAR file
        ("./a.mrcs", "project/Refine3D/job009/a.mrcs"),
        ("Extract/job003/a.mrcs", "project/Refine3D/job009/a.mrcs"),  # moved beside it
    ],
)
def test_without_a_folder(project, written, stored):
    images = project.stack(stored, 3)
    np.testing.assert_array_equal(particles_of(project, written).images(), images)


def test_relative_to_the_working_directory(project, monkeypatch):
    images = project.stack("elsewhere/Extract/a.mrcs", 3)
    monkeypatch.chdir(project.folder / "elsewhere")
    np.testing.assert_array_equal(particles_of(project, "Extract/a.mrcs").images(), images)


@pytest.mark.parametrize(
    ("stored", "folder"),
    [
        ("new/Extract/job003/a.mrcs", "new"),  # folder + path
        ("new/a.mrcs", "new"),  # folder + file name
        ("new/job003/a.mrcs", "new"),  # folder + end of the path
        ("new/Extract/job003/a.mrcs", "new/Extract/job003"),  # a parent of the folder + path
    ],
)
@pytest.mark.parametrize("root", ["", "/old/project/"])
def test_moved_stacks(project, stored, folder, root):
    images = project.stack(stored, 3)
    p = particles_of(project, f"{root}Extract/job003/a.mrcs", images_dir=project.folder / folder)
    np.testing.assert_array_equal(p.images(), images)


def test_the_folder_wins_over_the_written_path(project):
    project.stack("project/Extract/a.mrcs", 3)
    images = project.stack("new/a.mrcs", 3)
    p = particles_of(project, "Extract/a.mrcs", images_dir=project.folder / "new")
    np.testing.assert_array_equal(p.images(), images)


def test_name_before_the_import_into_cryosparc(make):
    images = make.stack("raw/18jam15b.mrcs")
    path = make.cs(stack="J1/imported/000090334788266266069_18jam15b.mrcs")
    np.testing.assert_array_equal(
        cs.read_particles(path, images_dir=make.folder / "raw").images(), images
    )


def test_missing_stacks_are_counted(project):
    project.stack("project/Extract/a.mrcs", 3)
    rows = [row for name in "abcd" for row in project.rows(1, f"Extract/{name}.mrcs")]
    path = project.star("project/p.star", rows=rows)
    with pytest.raises(
        CryoswayError,
        match=r"p\.star names Extract/b\.mrcs \(and 2 more stacks\), not found in .*images_dir=",
    ):
        cs.read_particles(path)
    with pytest.raises(CryoswayError, match=r"images folder .*nowhere does not exist"):
        cs.read_particles(path, images_dir=project.folder / "nowhere")
    with pytest.raises(CryoswayError, match=r"names 4 stacks but .*a\.mrcs is one file"):
        cs.read_particles(path, images_dir=project.folder / "project/Extract/a.mrcs")


def test_one_stack_under_another_name(project):
    images = project.stack("other.mrcs", 3)
    p = particles_of(project, "gone.mrcs", images_dir=project.folder / "other.mrcs")
    np.testing.assert_array_equal(p.images(), images)
    project.stack("project/Refine3D/job009/run_data.mrcs", images=images)
    with pytest.warns(
        CryoswayWarning,
        match=r"names gone\.mrcs, which is not there; reading .*run_data\.mrcs instead",
    ):
        p = particles_of(project, "gone.mrcs")
    np.testing.assert_array_equal(p.images(), images)


def test_text_list_of_stacks(make):
    a, b = make.stack("x/a.mrcs", 2), make.stack("b.mrcs", 3)
    (make.folder / "x/list.txt").write_text("# stacks\na.mrcs\n\n../b.mrcs\na.mrcs\n")
    with pytest.warns(CryoswayWarning, match="no CTF"):
        p = cs.read_particles(make.folder / "x/list.txt")
    np.testing.assert_array_equal(p.images(), np.concatenate([a, b, a]))
    (make.folder / "empty.txt").write_text("\n")
    with pytest.raises(CryoswayError, match="lists no stacks"):
        cs.read_particles(make.folder / "empty.txt")
