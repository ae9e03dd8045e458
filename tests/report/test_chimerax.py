"""session.cxc opens what is there, by relative paths."""

import shutil

import numpy as np
from matplotlib.colors import to_hex

from cryosway.engine import read_json, write_json
from cryosway.particles import read_map
from cryosway.report import gather_contents, write_session
from cryosway.report._style import state_colours


def read_commands(folder):
    path = write_session(gather_contents(folder), 0.25)
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def test_every_map_is_opened_once_by_a_relative_path(make_run):
    root = make_run()
    opened = [line for line in read_commands(root) if line.startswith("open ")]
    names = [name for line in opened for name in line.split('"')[1::2]]
    assert len(names) == len(set(names)) == 1 + 2 + 3 + 1
    assert all((root / name).exists() for name in names)
    assert not any(name.startswith("/") for name in names)


def test_a_traversal_is_a_series_at_the_common_level(tmp_path, make_report_job):
    lines = read_commands(make_report_job(tmp_path / "j"))
    (series,) = [line for line in lines if line.endswith("vseries true")]
    assert series.count(".mrc") == 3
    assert sum("level 0.25" in line for line in lines) == 4


def test_only_the_first_model_is_shown(tmp_path, make_report_job):
    lines = read_commands(make_report_job(tmp_path / "j"))
    hidden = [line for line in lines if line.startswith("hide")]
    assert hidden == [f"hide #{number} models" for number in (2, 3, 5, 4)]


def test_maps_of_states_are_opened_in_the_colours_of_the_states(tmp_path, make_report_job):
    folder = make_report_job(tmp_path / "j")
    index = folder / "volumes" / "volumes.json"
    entries = read_json(index)["volumes"]
    for number in (1, 2):
        copy = f"state_0{number}.mrc"
        shutil.copyfile(folder / "volumes" / "mean.mrc", folder / "volumes" / copy)
        entries.append({"file": copy, "kind": "state", "label": f"state {number}"})
    write_json(index, {"volumes": entries})
    lines = read_commands(folder)
    assert lines.index('open "volumes/state_02.mrc"') < lines.index('open "volumes/cluster_01.mrc"')
    for number, colour in enumerate(state_colours(2), start=2):
        assert f"volume #{number} style surface step 1 level 0.25 color {to_hex(colour)}" in lines


def test_the_molecule_can_be_seen_cut_open(tmp_path, make_report_job):
    lines = read_commands(make_report_job(tmp_path / "j"))
    cut = lines.index("clip front 0")
    assert lines[cut - 1 : cut + 3] == ["view front", "clip front 0", "view name cut", "view front"]
    assert "view name front" in lines[:cut], "so the session opens whole"


def test_a_morph_is_coloured_by_where_the_density_changes(tmp_path, make_report_job):
    folder = make_report_job(tmp_path / "j")
    lines = read_commands(folder)
    (colour,) = [line for line in lines if line.startswith("color sample")]
    assert colour.startswith("color sample #4 map #5 palette #c3c9ce:")
    assert lines[lines.index(colour) - 1] == "volume #4 calculateSurfaces true", "or none is there"
    change, about = read_map(folder / "chimerax" / "change_direction_1.mrc")
    _, other = read_map(folder / "volumes" / "path_pc1_01.mrc")
    ways = [read_map(folder / "volumes" / f"path_pc1_0{k}.mrc")[0] for k in (1, 2, 3)]
    np.testing.assert_allclose(change, np.std(ways, axis=0), atol=1e-5)
    assert (about.pixel_size, about.origin) == (other.pixel_size, other.origin)
    most = float(colour.split(" range 0,")[1])
    still, moved = change[16, 16, 16], change[16, 16, 22]  # a ball that stays, one that leaves
    assert still < 0.2 * most < 0.5 * most < moved


def test_no_change_of_an_earlier_landscape_is_left(tmp_path, make_report_job):
    folder = make_report_job(tmp_path / "j")
    (folder / "chimerax").mkdir()
    (folder / "chimerax" / "change_direction_3.mrc").touch()
    (folder / "chimerax" / "mine.cxc").touch()
    read_commands(folder)
    kept = sorted(path.name for path in (folder / "chimerax").iterdir())
    assert kept == ["change_direction_1.mrc", "mine.cxc"]


def read_movie(folder):
    read_commands(folder)
    return (folder / "movie.cxc").read_text().splitlines()


def test_movies_are_recorded_of_what_moves(tmp_path, make_report_job):
    folder = make_report_job(tmp_path / "j")
    lines = read_movie(folder)
    assert [line for line in lines if line.startswith("movie encode")] == [
        "movie encode direction_1.mp4 quality high framerate 25"
    ]
    morph = "slider false interpolateColors false modelId #5"
    assert lines.index(f"volume morph #1-3 frames 0 {morph}") < lines.index("view")
    played = [line for line in lines if line.endswith(f"frames 32 playStep 0.062500 {morph}")]
    assert len(played) == 3, "from two sides and cut open"
    assert any(line.startswith("color sample #5 map #4 palette") for line in lines)
    start, cut = lines.index("movie record supersample 3 size 900,900"), lines.index("clip front 0")
    assert start < cut < lines.index("clip off") < lines.index("close session")
    opened = [line.split('"')[1] for line in lines if line.startswith("open ")]
    assert len(opened) == 4
    assert all((folder / name).exists() for name in opened)


def test_a_caption_tells_where_nobody_is(tmp_path, make_report_job):
    folder = make_report_job(tmp_path / "j")
    assert not any("2dlabels" in line for line in read_movie(folder))
    index = folder / "volumes" / "volumes.json"
    entries = read_json(index)["volumes"]
    for entry in entries:
        if entry.get("point") == 2:
            entry["support"] = 0.3
    write_json(index, {"volumes": entries})
    lines = read_movie(folder)
    first = lines.index(next(line for line in lines if " playStep " in line))
    assert lines[first + 1 : first + 10] == [
        "wait 5", "2dlabels all visibility true", "wait 7", "2dlabels all visibility false",
        "wait 9", "2dlabels all visibility true", "wait 7", "2dlabels all visibility false",
        "wait 12",
    ]  # fmt: skip
    assert "# map 2 has next to no particles behind it" in (folder / "session.cxc").read_text()


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
