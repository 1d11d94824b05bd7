"""A notebook: a real IPython kernel runs `examples/notebook`, with spawned and forked workers."""

from __future__ import annotations

import json

import pytest

from example_support import run
from scripts import entries, until
from server_support import EXAMPLES

pytest.importorskip("nbclient", reason="`make integration` installs it")
pytest.importorskip("ipykernel", reason="`make integration` installs it")

EXECUTE = """
import json, nbclient, nbformat
notebook = nbformat.read("workers.ipynb", 4)
nbclient.NotebookClient(notebook, timeout=90).execute()
outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
print(json.dumps([output[-1].data["text/plain"] if output else "" for output in outputs]))
"""


def test_a_notebook_shares_with_its_workers() -> None:
    """A module's function under spawn, a cell's under fork, and a wait of the notebook's own loop."""
    before = entries()
    printed, _ = run(EXAMPLES / "notebook", "-c", EXECUTE, warnings="")

    assert json.loads(printed) == ["", "(10, 81)", "(20, 6859)", "", "21"]
    assert until(lambda: entries() <= before, 10)  # the kernel is gone, and all that it had made
