"""The shape of the package itself: what may import what, and what starts fast."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import cryosway as cs

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
ROOMS = sorted(path.parent.name for path in (ROOT / "src/cryosway").glob("*/__init__.py"))
HEAVY = {"torch", "pandas", "matplotlib", "sklearn", "numba", "umap", "scipy", "numpy"}


def imported_names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_imports_point_one_way():
    from importlinter.cli import lint_imports

    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == 0, "see the captured output for the chain of imports"


def test_pickle_only_in_the_restricted_unpickler():
    users = {
        path.name
        for path in SOURCES
        if {"pickle", "joblib", "dill", "cloudpickle"}
        & set(imported_names(ast.parse(path.read_text())))
    }
    assert users <= {"_pickles.py"}


def test_library_does_not_print():
    printers = [
        path
        for path in SOURCES
        if "cli" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert printers == []


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_name_what_they_offer(room):
    module = importlib.import_module(f"cryosway.{room}")
    assert module.__doc__
    assert sorted(module.__all__) == sorted(set(module.__all__))
    for name in module.__all__:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("name", cs.__all__)
def test_public_names_exist_and_are_documented(name):
    assert getattr(cs, name).__doc__


def loaded_modules(code):
    code += "; import sys; sys.stderr.write('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import cryosway",
        "from cryosway.cli import main; main(['--version'])",
        "from cryosway.cli import main; main(['--help'])",
        "from cryosway.cli import main; main(['linear', '--help'])",
        "from cryosway.cli import main; main(['linaer'])",
    ],
)
def test_start_is_light(code):
    assert loaded_modules(code) & HEAVY == set()


@pytest.mark.parametrize(
    "first", ["import cryosway.{0}", "cs.{0}", "from cryosway.{0} import {0}", "from cs import {0}"]
)
def test_function_wins_over_the_room_of_its_name(first):
    code = "import sys, types; import cryosway as cs; sys.modules['cs'] = cs\n"
    for name in ("simulate", "report", "landscape"):
        code += f"""
{first.format(name)}
import cryosway.{name}
from cryosway import {name} as by_from
from cryosway.{name} import __all__ as names
assert callable(cs.{name}) and not isinstance(cs.{name}, types.ModuleType)
assert cs.{name} is by_from is sys.modules["cryosway.{name}"].{name}
assert "{name}" in names
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="module 'cryosway' has no attribute 'vea'"):
        cs.vea  # noqa: B018
    assert {"linear", "simulate", "fsc"} <= set(dir(cs))
