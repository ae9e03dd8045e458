"""The commands on the page are those that made it, with true paths."""

from pathlib import Path

import cryosway as cs
from cryosway.engine import JobFolder, Options, write_json
from cryosway.report._contents import gather_contents
from cryosway.report._reproduce import list_commands, write_command


class FitOptions(Options):
    """Some options: of two switches one is on by default."""

    components: int = 8
    mask: Path | None = None
    neural: bool = False
    umap: bool = True
    seed: int = 0


def fit(path, sources, command="linear", **chosen):
    options = FitOptions(**chosen)
    with JobFolder.start(path, command, options, {"particles": "0" * 64}, sources=sources):
        pass
    return gather_contents(path)


def test_paths_are_absolute_and_only_what_was_chosen_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"particles": [Path("my set.cs"), Path("more.cs")], "images_dir": Path("..")}
    contents = fit(tmp_path / "job", given, mask=Path("mask.mrc"), umap=False)
    (command,) = list_commands(contents)
    assert command == (
        f"cryosway linear '{tmp_path}/my set.cs' {tmp_path}/more.cs --out job "
        f"--mask {tmp_path}/mask.mrc --no-umap --seed 0 --images-dir {tmp_path}/.."
    )


def test_poses_of_other_origin_are_not_hidden(tmp_path):
    contents = fit(tmp_path / "job", {"particles": [Path("/a.star")], "changed": True})
    assert list_commands(contents) == [
        "cryosway linear /a.star --out job --seed 0  # with other poses, CTF or contrast than there"
    ]


def test_a_job_that_does_not_say_has_a_placeholder(tmp_path):
    assert list_commands(fit(tmp_path / "job", None)) == [
        "cryosway linear PARTICLES --out job --seed 0"
    ]
    assert write_command({"command": "demo", "config": {"box": 64}}, "demo") == (
        "cryosway demo --out demo --box 64"
    )


def test_what_came_before_and_after_is_listed_in_order(tmp_path):
    fit(tmp_path / "prep", {"particles": [Path("/a.star")]}, "prepare")
    folder = tmp_path / "job"
    fit(folder, {"particles": [tmp_path / "prep" / "particles.star"]}, components=3)
    write_json(folder / "landscape.json", {"options": {"clusters": 4, "umap": True, "seed": 0}})
    space = {"volumes": 60, "linkage": "ward", "clusters": [{"cluster": 1}, {"cluster": 2}]}
    write_json(folder / "volume_space.json", space)
    asked = {"coordinates": None, "interval": ["pc1=-1:0"], "maps": False, "seed": 2}
    write_json(folder / "states.json", {"options": asked})
    fit(tmp_path / "val", {"job": folder}, "validate")
    write_json(tmp_path / "val" / "validation.json", {"job": folder})
    volumes = "--volumes 60 --volume-linkage ward --volume-clusters 2"
    assert list_commands(gather_contents(folder)) == [
        f"cryosway prepare /a.star --out {tmp_path}/prep --seed 0",
        f"cryosway linear {tmp_path}/prep/particles.star --out job --components 3 --seed 0",
        f"cryosway landscape job --clusters 4 --umap --seed 0 {volumes}",
        "cryosway states job --interval pc1=-1:0 --no-maps --seed 2",
        "cryosway validate job --out val --seed 0",
    ]
    assert list_commands(gather_contents(tmp_path / "val"))[-1] == (
        f"cryosway validate {folder} --out val --seed 0"
    )


def test_the_page_lists_them(tmp_path):
    fit(tmp_path / "job", {"particles": [Path("/a & b.star")]})
    page = cs.report(tmp_path / "job").read_text()
    assert "cryosway linear &#x27;/a &amp; b.star&#x27; --out job --seed 0</code>" in page
