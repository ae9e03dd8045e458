import inspect
import json
import signal
import subprocess
import sys
import time
import warnings

import pytest

from cryosway import CryoswayError, CryoswayWarning, __version__
from cryosway.cli import _build, _main, main
from cryosway.cli._commands import COMMANDS, GROUPS
from cryosway.engine import JobFolder

NAMES = [command.name for command in COMMANDS]


@pytest.fixture
def replace_target(monkeypatch):
    """Let every command call the given function instead of its own."""

    def replace(function):
        import_name = _build.import_name

        def fake(target):
            return import_name(target) if "_options:" in target else function

        monkeypatch.setattr(_build, "import_name", fake)
        monkeypatch.setattr(
            "cryosway.particles.read_particles", lambda path, **options: (path, options)
        )

    return replace


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cryosway {__version__}\n"


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert command.words[0] in text
        if len(command.words) == 1:
            assert command.summary.split()[0] in text
    for group, line in GROUPS.items():
        assert line.split()[0] in text
        assert main([group, "--help"]) == 0
        inside = capsys.readouterr().out
        for command in COMMANDS:
            assert command.words[0] != group or command.words[1] in inside


@pytest.mark.parametrize("name", NAMES)
def test_help_explains_every_option(name, capsys):
    assert main([*name.split(), "--help"]) == 0
    command = next(command for command in COMMANDS if command.name == name)
    text = capsys.readouterr().out
    for parameter in _build._build_parameters(command):
        helps = [how.help for how in parameter.annotation.__metadata__]
        assert any(helps), f"{name}: {parameter.name} has no help"
        if parameter.kind is parameter.KEYWORD_ONLY:
            assert f"--{parameter.name.replace('_', '-')}" in text


@pytest.mark.parametrize("command", COMMANDS, ids=NAMES)
def test_every_command_maps_to_its_function(command):
    function = _build.import_name(command.target)
    parameters = inspect.signature(function).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    passed = [
        p.name
        for p in _build._build_parameters(command)
        if p.kind is p.KEYWORD_ONLY and p.name not in _build._READING
    ]
    assert takes_any or set(passed) <= set(parameters)
    for name in ("out", *command.controls):
        assert name not in passed or name in parameters or takes_any


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.options], ids=lambda c: c.name)
def test_models_and_signatures_agree(command):
    """Where a function names its options itself, its model must say the same."""
    function = _build.import_name(command.target)
    fields = _build.import_name(command.options).model_fields
    parameters = list(inspect.signature(function).parameters.values())
    parameters = parameters[len(_build._SOURCES[command.source]) :]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    named = {
        p.name: p.default
        for p in parameters
        if p.kind is p.KEYWORD_ONLY and p.name not in command.controls
    }
    assert set(named) <= set(fields)
    assert takes_any or set(named) == set(fields)
    assert {name: fields[name].default for name in named} == named


def test_options_reach_the_function(replace_target):
    calls = []
    replace_target(lambda *sources, **options: calls.append((sources, options)))
    line = "linear a.star --out job --components 4 --no-contrast --seed 3 --no-resume --threads 2"
    status = main([*line.split(), "--images-dir", "raw", "--accept-defaults"])
    assert status == 0
    [([(path, reading)], options)] = [(list(sources), options) for sources, options in calls]
    assert str(path) == "a.star"
    assert str(reading["images_dir"]) == "raw"
    assert reading["accept_defaults"] is True
    assert str(options["out"]) == "job"
    wanted = {"components": 4, "contrast": False, "seed": 3, "resume": False, "threads": 2}
    assert options.items() >= wanted.items()
    assert set(options) == {"out", *wanted}  # what was not typed keeps the function's default


def test_several_files_are_read_together(replace_target):
    calls = []
    replace_target(lambda source, **_: calls.append(source[0]))
    assert main(["backproject", "a.star", "b.star", "--out", "job"]) == 0
    assert [str(path) for path in calls[0]] == ["a.star", "b.star"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lineer a.star --out x", 'Did you mean "linear"'),
        ("linear a.star --out x --componets 3", "Did you mean --components?"),
        ("linear a.star", "--out"),
        ("linear a.star --out x --components many", 'unable to convert "many"'),
        ("linear --out x", "PARTICLES"),
        ("volumes nowhere --out x --latents 1,a", "is not a latent"),
        ("volumes nowhere --out x --latents -1,2", "nowhere is not a job folder"),
        ("landscape nowhere", "nowhere is not a job folder"),
        ("protein dok a.cif b.mrc --out x", 'Did you mean "dock"'),
        ("protein dock a.cif --out x", "last the map"),
        ("protein dock nowhere.cif nowhere.mrc --out x", "nowhere.cif"),
        ("linear nowhere.star --out x", "nowhere.star"),
    ],
)
def test_mistakes_end_with_a_sentence_and_status_2(line, words, capsys):
    assert main(line.split()) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_cryosway_error_is_one_line(replace_target, capsys):
    def fail(*_, **__):
        message = "a.star row 3: defocus is NaN; remove the row"
        raise CryoswayError(message)

    replace_target(fail)
    assert main(["linear", "a.star", "--out", "x"]) == 2
    assert capsys.readouterr().err == "error: a.star row 3: defocus is NaN; remove the row\n"


def test_bugs_keep_their_traceback(replace_target):
    replace_target(lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["linear", "a.star", "--out", "x"])


def test_interrupt_is_one_line_and_130(replace_target, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    replace_target(interrupt)
    assert main(["linear", "a.star", "--out", "x"]) == 130
    assert capsys.readouterr().err == "interrupted; the same command goes on where it stopped\n"


def test_warnings_are_one_line(replace_target, capsys, monkeypatch):
    def warn(*_, **__):
        warnings.simplefilter("always")
        warnings.warn("rlnBeamTiltX is not applied", CryoswayWarning, stacklevel=1)

    replace_target(warn)
    with warnings.catch_warnings():
        assert main(["linear", "a.star", "--out", "x"]) == 0
    assert capsys.readouterr().err == "warning: rlnBeamTiltX is not applied\n"


def test_the_last_line_is_the_path_of_the_report(replace_target, tmp_path, capsys):
    (tmp_path / "report.html").touch()

    class Result:
        path = tmp_path

    calls = []

    replace_target(lambda **options: calls.append(options) or Result())
    assert main(["demo"]) == 0
    assert str(calls[0]["out"]) == "demo"
    where = f"result: {tmp_path}\n"
    assert capsys.readouterr().out == f"{where}report: {tmp_path / 'report.html'}\n"
    (tmp_path / "report.html").unlink()
    assert main(["demo"]) == 0
    assert capsys.readouterr().out == where
    replace_target(lambda **_: tmp_path / "report.html")
    assert main(["demo"]) == 0
    assert capsys.readouterr().out == f"report: {tmp_path / 'report.html'}\n"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_real_process_politely(tmp_path, number, status):
    code = """
import sys, time
from pathlib import Path
from cryosway.cli import _build, main
from cryosway.engine import JobFolder

def work(out, **_):
    with JobFolder.start(out, "demo") as job:
        job.log("works")
        time.sleep(60)

original = _build.import_name
_build.import_name = lambda target: original(target) if "_options:" in target else work
sys.exit(main(["demo", "--out", sys.argv[1]]))
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "job"], stderr=subprocess.PIPE, text=True
    )
    for line in child.stderr:
        if line == "works\n":
            break
    time.sleep(0.1)
    child.send_signal(number)
    _, errors = child.communicate(timeout=30)
    assert child.returncode == status
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].endswith("the same command goes on where it stopped")
    assert json.loads((tmp_path / "job" / "job.json").read_text())["status"] == "interrupted"


def test_unbuilt_commands_are_cheap_stubs():
    app = _main.build_app(["--help"])
    assert {command.words[0] for command in COMMANDS} <= set(app)


def test_second_writer_reads_one_sentence(replace_target, tmp_path, capsys):
    def work(out, **_):
        with JobFolder.start(out, "demo"):
            pass

    replace_target(work)
    with JobFolder.start(tmp_path, "demo"):
        assert main(["demo", "--out", str(tmp_path)]) == 2
    assert "is being written by process" in capsys.readouterr().err
