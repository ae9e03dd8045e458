"""Movies: as many frames as asked, of what is given, in files that play; tubes along chains."""

import sys

import numpy as np
import pytest
from PIL import Image

import cryosway as cs
from cryosway import CryoswayError
from cryosway.cli import main
from cryosway.engine import write_json
from cryosway.particles import write_map
from cryosway.protein import AtomTable
from cryosway.report import gather_contents
from cryosway.report._movie import choose_model_view, colour_displacement
from cryosway.report._page_models import make_models_section
from cryosway.report._pictures import Pictures
from cryosway.report._tube import RADIUS_ANGSTROM, Traces, read_traces

SMALL = {"between": 1, "sides": 1, "pixels": 40}


def open_frames(path):
    with Image.open(path) as image:
        frames = []
        for number in range(image.n_frames):
            image.seek(number)
            frames.append(np.asarray(image.convert("RGB"), int))
    return frames


@pytest.fixture(scope="module")
def job(tmp_path_factory, make_report_job):
    return make_report_job(tmp_path_factory.mktemp("movie") / "job")


def test_a_caption_tells_where_next_to_no_particles_are(tmp_path, blobs):
    """Of three maps alike, the picture of the middle one differs by a line of text."""
    entries = []
    (tmp_path / "volumes").mkdir()
    for point, support in enumerate((50.0, 0.2, 60.0), start=1):
        entries.append({"file": f"{point}.mrc", "kind": "path", "point": point, "support": support})
        write_map(tmp_path / "volumes" / f"{point}.mrc", blobs([(0, 0, 0)]), 3.0)
    write_json(tmp_path / "volumes" / "volumes.json", {"volumes": entries})
    options = {**SMALL, "pixels": 160}
    first, middle, *_ = open_frames(cs.movie(tmp_path, tmp_path / "gap.webp", **options))
    red = (middle[..., 0] - middle[..., 2] > 60) & (first[..., 0] - first[..., 2] < 60)
    assert red[-20:].sum() > 50 and not red[:-30].any()


@pytest.fixture
def ensemble(tmp_path):
    """Two models of a bent chain of 12 residues with a gap, whose second half swings by 20 Å."""
    return write_models(tmp_path / "models.pdb", [0.0, 20.0])


def write_models(path, swings):
    lines = []
    for model, swing in enumerate(swings, start=1):
        lines.append(f"MODEL     {model:4d}")
        for number in range(1, 13):
            x = 3.8 * number + (15.0 if number > 8 else 0.0)
            y = swing if number > 8 else 2.0 * np.sin(number)
            lines.append(
                f"ATOM  {number:5d}  CA  ALA A{number:4d}    {x:8.3f}{y:8.3f}{0.0:8.3f}  1.00  0.00"
                "           C"
            )
        lines.append("ENDMDL")
    path.write_text("\n".join([*lines, "END", ""]))
    return path


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_a_job_s_path_is_played_to_and_fro(tmp_path, job, kind):
    found = cs.movie(job, tmp_path / f"new/morph.{kind}", **SMALL | {"sides": 2})
    frames = open_frames(found)
    assert [frame.shape for frame in frames] == [(40, 80, 3)] * 4  # 1, 2, 3 and 2 again
    assert np.abs(frames[0] - frames[2]).mean() > 5 * np.abs(frames[1] - frames[3]).mean()


def test_mp4_is_h264(tmp_path, job):
    av = pytest.importorskip("av", reason="PyAV is an extra")
    assert main(["movie", str(job), "--out", str(tmp_path / "a.mp4"), "--pixels", "41"]) == 0
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 84, 42)
        assert sum(1 for _ in container.decode(stream)) == 24


def test_without_pyav_the_extra_is_named(tmp_path, job, monkeypatch):
    writers = sys.modules["cryosway.report._movie_files"]
    monkeypatch.setattr(writers, "find_spec", lambda name: None)
    with pytest.raises(CryoswayError, match=r"pip install cryosway\[movie\]"):
        cs.movie(job, tmp_path / "a.mp4")


def test_maps_may_be_given_one_by_one(tmp_path, job):
    maps = [str(job / "volumes" / f"path_pc1_0{point}.mrc") for point in (1, 3)]
    out = tmp_path / "two.gif"
    assert main(["movie", *maps, "--out", str(out), "--between", "2", "--pixels", "32"]) == 0
    assert len(open_frames(out)) == 4


def test_a_folder_of_path_is_played_in_its_order(tmp_path, job):
    folder = tmp_path / "way"
    (folder / "volumes").mkdir(parents=True)
    entries = []
    for point in (2, 1):
        name = f"path_00{point}.mrc"
        (folder / "volumes" / name).write_bytes(
            (job / "volumes" / f"path_pc1_0{point}.mrc").read_bytes()
        )
        entries.append({"file": name, "kind": "path", "point": point})
    write_json(folder / "volumes" / "volumes.json", {"volumes": entries})
    assert len(open_frames(cs.movie(folder, tmp_path / "way.gif", **SMALL))) == 2


def test_models_are_drawn_as_tubes(tmp_path, ensemble):
    frames = open_frames(cs.movie(ensemble, tmp_path / "models.gif", **SMALL | {"between": 2}))
    assert len(frames) == 4
    assert (frames[0] < 250).any(), "something is to be seen"
    assert np.abs(frames[0] - frames[2]).mean() > 1


def test_the_report_shows_models_that_move(tmp_path, make_report_job):
    folder = make_report_job(tmp_path / "j", latents=False)
    (folder / "models").mkdir()
    write_models(folder / "models" / "morph.pdb", [0.0, 20.0])
    entry = {"file": "morph.pdb", "kind": "direction", "states": [{}, {}]}
    write_json(folder / "models" / "models.json", {"models": [entry]})
    page = make_models_section(gather_contents(folder), Pictures(folder / "figures"))
    assert "up to 20.0 Å" in page
    assert "data:image/gif" in page
    assert len(open_frames(folder / "figures" / "models.gif")) == 18


def test_pieces_of_a_chain_end_at_gaps(ensemble):
    traces = read_traces([ensemble])
    np.testing.assert_array_equal(traces.starts, [0, 8])
    assert traces.displacement[:8].max() < 1e-3
    np.testing.assert_allclose(traces.displacement[8:], 20.0, atol=1e-3)


def test_a_straight_tube_is_a_cylinder():
    line = np.stack([3.8 * np.arange(6), np.zeros(6), np.zeros(6)], axis=1)
    surface, owners = Traces(line[None], np.array([0])).build(line)
    np.testing.assert_allclose(
        np.linalg.norm(surface.vertices[:, 1:], axis=1), RADIUS_ANGSTROM, rtol=1e-5
    )
    np.testing.assert_allclose(surface.normals[:, 0], 0, atol=1e-6)
    assert surface.area_angstrom2 == pytest.approx(2 * np.pi * RADIUS_ANGSTROM * 19, rel=0.03)
    assert set(owners) == set(range(6))
    assert (np.abs(surface.vertices[:, 0] - line[owners, 0]) <= 1.9 + 1e-6).all()
    corners = surface.vertices[surface.faces]
    outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    sides = np.einsum("fd,fd->f", outward, surface.normals[surface.faces[:, 0]])
    assert (sides > 0).all() or (sides < 0).all()


def test_the_motion_is_seen_across():
    """A chain along y whose end goes along x: the eye looks along z."""
    first = np.stack([np.zeros(20), np.arange(20.0), np.zeros(20)], axis=1)
    second = first + np.outer(np.arange(20) > 14, [8.0, 0, 0])
    view = choose_model_view(np.stack([first, second]))
    np.testing.assert_allclose(view @ view.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(view) == pytest.approx(1)
    assert abs(view[2] @ [0, 0, 1]) == pytest.approx(1, abs=1e-6)


def test_who_moves_more_is_redder_and_darker():
    colours = colour_displacement(np.array([0.0, 3.0, 9.0]))
    assert (np.diff(colours.sum(axis=1)) < 0).all()
    assert np.ptp(colour_displacement(np.zeros(5)), axis=0).max() == 0


def refuse_other_size(tmp_path, job):
    write_map(tmp_path / "small.mrc", np.zeros((16, 16, 16), np.float32), 3.0)
    return [job / "volumes" / "mean.mrc", tmp_path / "small.mrc"], {}


def refuse_other_residues(tmp_path, job):
    first = write_models(tmp_path / "a.pdb", [0.0])
    text = first.read_text().replace("A   3", "A  33")
    (tmp_path / "b.pdb").write_text(text)
    return [first, tmp_path / "b.pdb"], {}


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda tmp, job: (job, {"out": "a.avi"}), r"a movie is .mp4, .gif or .webp"),
        (lambda tmp, job: (job, {"direction": 3}), "no maps along direction 3; there are 1"),
        (lambda tmp, job: (job, {"models": True}), "holds no series of atomic models"),
        (lambda tmp, job: (job, {"between": 0}), "between is 0: give 1 to 100"),
        (lambda tmp, job: (tmp / "nothing", {}), "nothing does not exist"),
        (lambda tmp, job: ([job / "volumes" / "mean.mrc"], {}), "here are 1: give two or more"),
        (lambda tmp, job: ([job, job / "volumes" / "mean.mrc"], {}), "cannot be mixed"),
        (refuse_other_size, r"small.mrc has 16 voxels of 3 Å a side, but .*mean.mrc 32"),
        (refuse_other_residues, r"b.pdb: model 2 of the movie has other residues"),
        (lambda tmp, job: (write_models(tmp / "a.pdb", [0.0]), {}), "holds one model"),
    ],
)
def test_what_cannot_be_a_movie_is_refused(tmp_path, job, make, told):
    sources, options = make(tmp_path, job)
    with pytest.raises(CryoswayError, match=told):
        cs.movie(sources, **{"out": tmp_path / "a.gif", **options})


def test_a_model_of_ligands_has_no_chain(monkeypatch, tmp_path):
    nothing = AtomTable(*[np.zeros((0, 3))], *[np.zeros(0, str)] * 9)
    reader = sys.modules["cryosway.report._tube"]
    monkeypatch.setattr(reader, "read_ensemble", lambda path: [nothing, nothing])
    with pytest.raises(CryoswayError, match="no Cα and no phosphates"):
        read_traces([tmp_path / "x.cif"])
