"""The page: self-contained, valid, escaped, with what is in the folder and nothing else."""

import re
from html.parser import HTMLParser

import pytest

import cryosway as cs
from cryosway.engine import JobFolder, read_json, write_json

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Checker(HTMLParser):
    """Collects text, identities and sources; fails on unbalanced tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.text: list[str] = []
        self.sources: list[str] = []
        self.sections: list[str] = []
        self.alternatives: list[str] = []

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.sources += [named[key] for key in ("src", "href") if key in named]
        if tag == "section":
            self.sections.append(named["id"])
        if tag == "img":
            self.alternatives.append(named["alt"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text.append(data)


def read_page(path):
    checker = Checker()
    content = path.read_text(encoding="utf-8")
    checker.feed(content)
    checker.close()
    assert checker.open == []
    return checker, content


@pytest.fixture(scope="module")
def linear_page(tmp_path_factory, make_report_job):
    return cs.report(make_report_job(tmp_path_factory.mktemp("report") / "my <job> & co"))


def test_the_verdict_and_the_numbers_are_on_the_page(linear_page):
    checker, _ = read_page(linear_page)
    text = " ".join(checker.text)
    assert "one direction of structural change stands out from noise" in text
    assert "7.3 Å" in text
    assert "31 % of the map's power" in text
    assert text.index("heterogeneous") < text.index("Landscape"), "the verdict comes first"


def test_the_page_needs_nothing_from_outside(linear_page):
    checker, content = read_page(linear_page)
    assert checker.sources
    assert all(source.startswith("data:image/") for source in checker.sources)
    assert not re.search(r"https?://|@import|url\(", content)
    assert "<script" not in content


def test_names_are_escaped(linear_page):
    checker, content = read_page(linear_page)
    text = "".join(checker.text)
    assert "Report on my <job> & co" in text
    assert "data/my <best> & only.star" in text
    assert "<eight> & no more" in text
    for name in ("<job>", "<best>", "<eight>"):
        assert name not in content


def test_every_picture_has_a_description(linear_page):
    checker, _ = read_page(linear_page)
    assert len(checker.alternatives) >= 10
    assert all(checker.alternatives)


def test_a_linear_job_has_all_sections(linear_page):
    checker, _ = read_page(linear_page)
    assert checker.sections == [
        "landscape", "clusters", "directions", "consensus", "resolution", "particles", "decisions",
        "run", "next",
    ]  # fmt: skip


def test_a_job_without_latents_has_no_landscape(tmp_path, make_report_job):
    page = cs.report(make_report_job(tmp_path / "j", "backproject", latents=False))
    checker, _ = read_page(page)
    assert checker.sections == [
        "consensus", "resolution", "particles", "decisions", "run", "next",
    ]  # fmt: skip
    assert "cluster" not in " ".join(checker.text)


def test_an_empty_job_still_has_a_page(tmp_path):
    with JobFolder.start(tmp_path / "j", "inspect", {}, {}):
        pass
    checker, _ = read_page(cs.report(tmp_path / "j"))
    assert checker.sections == ["run", "next"]
    assert not (tmp_path / "j" / "session.cxc").exists()


def test_a_run_shows_its_steps_and_the_main_ones_answer(make_run):
    checker, _ = read_page(cs.report(make_run()))
    text = " ".join(checker.text)
    assert "one direction of structural change" in text
    assert "Poses fit." in text
    assert "Attention: Sign is wrong." in text
    assert {"landscape", "clusters", "directions"} <= set(checker.sections)
    for command in ("inspect", "backproject", "linear"):
        assert command in checker.text


def test_the_command_to_reproduce_is_given_with_quotes(linear_page):
    checker, _ = read_page(linear_page)
    (command,) = [
        text for text in checker.text if text.startswith("cryosway linear ") and "--out" in text
    ]
    assert "'data/my <best> & only.star'" in command
    assert command.endswith("--components 8 --seed 0")


def test_warnings_of_the_log_are_shown_once(tmp_path, make_report_job):
    folder = make_report_job(tmp_path / "j", "backproject", latents=False)
    with (folder / "log.txt").open("a") as log:
        log.write("2026-01-01T00:00:00+00:00 warning: beam tilt is not applied\n" * 2)
    checker, _ = read_page(cs.report(folder))
    assert checker.text.count("beam tilt is not applied") == 1


def test_figures_and_session_lie_beside_the_page(linear_page):
    folder = linear_page.parent
    names = {path.name for path in (folder / "figures").iterdir()}
    assert {"latents.png", "clusters.png", "direction_1.gif", "fsc.png", "views.png"} <= names
    assert (folder / "session.cxc").exists()


def test_the_same_folder_gives_the_same_page(linear_page):
    before = linear_page.read_bytes()
    assert cs.report(linear_page.parent).read_bytes() == before


def test_a_map_that_is_gone_is_left_out(tmp_path, make_report_job):
    folder = make_report_job(tmp_path / "j")
    (folder / "volumes" / "cluster_01.mrc").unlink()
    checker, _ = read_page(cs.report(folder))
    assert "cluster_02.mrc" in checker.text
    assert "cluster_01.mrc" not in checker.text


def test_a_folder_that_is_no_job_gets_a_sentence(tmp_path):
    with pytest.raises(cs.CryoswayError, match="not a job folder"):
        cs.report(tmp_path)


def test_unknown_and_missing_fields_are_harmless(tmp_path, make_report_job):
    folder = make_report_job(tmp_path / "j", "backproject", latents=False)
    info = read_json(folder / "job.json")
    del info["timings"], info["versions"]
    write_json(folder / "job.json", info | {"novel": {"a": [1, None]}})
    read_page(cs.report(folder))
