"""session.cxc opens what is there, by relative paths."""

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
