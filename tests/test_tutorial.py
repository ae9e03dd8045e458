"""The tutorial runs from its first cell to its last, and its figures are such as notebooks show."""

import ast
import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


def read_cells():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run_cell(source, names):
    """Run a cell as Jupyter does: the value of its last line, if it has one, is the answer."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, NOTEBOOK.name, "exec"), names)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), names)


def test_it_is_a_clean_notebook():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in notebook["cells"]:
        kept = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            kept |= {"execution_count", "outputs"}
            assert cell["outputs"] == []
        assert set(cell) == kept


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cryosway.engine._hardware.count_cpus", lambda: 1)
    names, shown = {}, []
    for source in read_cells():
        answer = run_cell(source, names)
        shown += [answer] if source.startswith("cs.plot") or "\ncs.plot" in source else []
    assert len(shown) == 8, "figures"
    assert all(hasattr(one, "_repr_png_") or hasattr(one, "_repr_html_") for one in shown)
    assert shown[0]._repr_png_().startswith(b"\x89PNG")
    assert names["job"].info["heterogeneity"]["verdict"] == "heterogeneous"
    assert abs(names["np"].corrcoef(names["truth"], names["found"])[0, 1]) > 0.8
    made = ("opening.gif", "one_end/particles.star", "linear/report.html", "linear/session.cxc")
    assert all((tmp_path / "tutorial" / name).exists() for name in made)
