"""session.cxc opens what is there, by relative paths."""

from cryosway.engine import write_json
from cryosway.report import gather_contents, write_session


def read_commands(folder):
    path = write_session(gather_contents(folder), 0.25)
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def test_every_map_is_opened_once_by_a_relative_path(make_run):
    root = make_run()
    opened = [line for line in read_commands(root) if line.startswith("open ")]
    names = [name for line in opened for name in line.split('"')[1::2]]
    assert len(names) == len(set(names)) == 1 + 2 + 3
    assert all((root / name).exists() for name in names)
    assert not any(name.startswith("/") for name in names)


def test_a_traversal_is_a_series_at_the_common_level(tmp_path, make_report_job):
    lines = read_commands(make_report_job(tmp_path / "j"))
    (series,) = [line for line in lines if line.endswith("vseries true")]
    assert series.count(".mrc") == 3
    assert sum("level 0.25" in line for line in lines) == 4


def test_only_the_first_model_is_shown(tmp_path, make_report_job):
    lines = read_commands(make_report_job(tmp_path / "j"))
    assert [line for line in lines if line.startswith("hide")] == [
        f"hide #{number} models" for number in (2, 3, 4)
    ]


def test_movies_are_recorded_of_what_moves(tmp_path, make_report_job):
    folder = make_report_job(tmp_path / "j")
    read_commands(folder)
    lines = (folder / "movie.cxc").read_text().splitlines()
    assert [line for line in lines if line.startswith("movie encode")] == [
        "movie encode direction_1.mp4 quality high framerate 25"
    ]
    shown = [line.split()[1] for line in lines if line.startswith("show")]
    assert shown == ["#1", "#2", "#3", "#2"] * 3, "from two sides and cut open"
    start, cut = lines.index("movie record supersample 3 size 900,900"), lines.index("clip front 0")
    assert start < cut < lines.index("clip off") < lines.index("close session")
    opened = [line.split('"')[1] for line in lines if line.startswith("open ")]
    assert len(opened) == 3
    assert all((folder / name).exists() for name in opened)


def test_models_are_recorded_coloured_by_motion(tmp_path, make_report_job):
    folder = make_report_job(tmp_path / "j", latents=False)
    (folder / "models").mkdir()
    (folder / "models" / "morph.cif").touch()
    entry = {"file": "morph.cif", "kind": "direction", "states": [{}, {}, {}]}
    write_json(folder / "models" / "models.json", {"models": [entry]})
    write_json(folder / "motions.json", {"displacement_angstrom": {"largest": 7.0}})
    read_commands(folder)
    text = (folder / "movie.cxc").read_text()
    assert 'open "models/morph.cif" coordsets true' in text
    assert "color byattribute r:displacement #1" in text
    assert text.count("coordset #1 1,3 pauseFrames 4") == 3
    assert "movie encode morph.mp4" in text


def test_nothing_that_moves_is_not_recorded(tmp_path, make_report_job):
    folder = make_report_job(tmp_path / "j", latents=False)
    (folder / "movie.cxc").write_text("of an earlier report")
    read_commands(folder)
    assert not (folder / "movie.cxc").exists()
