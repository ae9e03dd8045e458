import io
import logging
import sys

import pytest

from cryosway.engine import Progress, _console, show_messages
from cryosway.engine._progress import _Bar


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clean_console(monkeypatch):
    monkeypatch.setattr(_console, "_console", None)
    handlers = list(_console.LOGGER.handlers)
    _console.LOGGER.handlers[:] = [logging.NullHandler()]  # whatever other tests left on
    _console.LOGGER.setLevel(logging.NOTSET)
    yield
    _console.LOGGER.handlers[:] = handlers
    _console.LOGGER.setLevel(logging.NOTSET)


def test_eta_counts_only_the_work_of_this_run():
    clock = Clock()
    progress = Progress(1000, "images", done=500, clock=clock)
    clock.now = 100.0
    progress.advance(100)
    assert progress.describe() == "images: 600 of 1000 (60 %), 1 min 40 s, 6 min 40 s left"


def test_label_follows_what_is_done():
    progress = Progress(4, "training", clock=Clock())
    progress.advance(1)
    progress.rename("epoch 2 of 4")
    assert progress.describe().startswith("epoch 2 of 4: 1 of 4 (25 %)")


def test_lines_come_now_and_then(caplog):
    clock, log = Clock(), []
    with caplog.at_level(logging.INFO, logger="cryosway"):
        progress = Progress(100, "steps", write_log=log.append, clock=clock)
        for second in range(1, 101):
            clock.now = float(second)
            progress.advance()
    assert len(caplog.messages) == 10
    assert len(log) == 3
    assert log[0] == "steps: 30 of 100 (30 %), 30 s, 1 min 10 s left"


def test_library_is_silent(clean_console, capsys):
    logging.getLogger("cryosway").info("quiet")
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_plain_lines_where_there_is_no_terminal(clean_console, capsys):
    show_messages()
    show_messages()  # twice is once
    logging.getLogger("cryosway").info("reads [0-9] images")
    assert capsys.readouterr().err == "reads [0-9] images\n"


def test_bar_on_a_terminal_and_nothing_left_open(clean_console, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    show_messages()
    with Progress(2, "outer") as outer, Progress(2, "inner") as inner:
        inner.advance()
        assert _Bar._display is not None
        logging.getLogger("cryosway").info("[bold]as it is[/bold]")
        inner.rename("epoch 2")
        outer.advance(2)
    assert _Bar._display is None
    text = sys.stderr.getvalue()
    assert "inner" in text
    assert "epoch 2" in text
    assert "[bold]as it is[/bold]" in text
