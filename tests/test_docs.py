"""The documents: links that lead somewhere, commands and options that exist, code that parses."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from cryosway.cli._build import build_command
from cryosway.cli._commands import COMMANDS

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
BY_NAME = {command.name: command for command in COMMANDS}


def find_blocks(language):
    for document in DOCUMENTS:
        for text in re.findall(rf"```{language}\n(.*?)```", document.read_text(), re.DOTALL):
            yield pytest.param(text, id=f"{document.stem}: {text.splitlines()[0][:40]}")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text())
    missing = [t for t in targets if "://" not in t and not (document.parent / t).exists()]
    assert missing == []


@pytest.mark.parametrize("text", list(find_blocks("sh")))
def test_commands_and_options_exist(text):
    lines = text.replace("\\\n", " ").splitlines()
    for words in (shlex.split(line, comments=True) for line in lines):
        if words[:1] != ["cryosway"] or words[1].startswith("--"):
            continue
        name = next(n for n in (" ".join(words[1:3]), words[1]) if n in BY_NAME)
        known = build_command(BY_NAME[name]).__signature__.parameters
        used = [word.split("=")[0][2:].replace("-", "_") for word in words if word.startswith("--")]
        assert set(used) <= set(known)


@pytest.mark.parametrize("text", list(find_blocks("python")))
def test_python_parses(text):
    ast.parse(text)
