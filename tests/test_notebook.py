"""The notebook runs from top to bottom."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "supplementary" / "notebook.ipynb"


@pytest.mark.slow
def test_it_runs_from_top_to_bottom():
    nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed: pip install '.[notebook]'")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    drawn = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(drawn) == 2
    steps = notebook.cells[-2].outputs[0]["data"]["text/plain"]
    values = [float(value) for value in steps.removeprefix("array([").removesuffix("])").split(",")]
    assert values == pytest.approx([9] * 4, abs=1.8)
