"""A notebook is a place like a terminal: progress and grids inline, Interrupt saves."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

SETTINGS = "{'G.width': 4, 'D.width': 4, 'samples.num': 4, 'train.precision': 'float32', 'train.batch': 8}"


def notebook(*cells: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path / "cache"))


def test_training_shows_values_and_grids_inline(tmp_path: Path) -> None:
    cell = (
        f"import gannet\nrun = gannet.train('shapes', recipe='dcgan-shapes', kimg=0.1, run='run', settings={SETTINGS})"
    )
    book = notebook(cell, "run.grid()", "print(len(run.stats), run.finished)")
    NotebookClient(book, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    kinds = [kind for output in book.cells[0].outputs for kind in output.get("data", {})]
    assert "image/png" in kinds
    assert any("kimg 0.1/0.1" in output.get("data", {}).get("text/plain", "") for output in book.cells[0].outputs)
    assert "image/png" in book.cells[1].outputs[0]["data"]
    assert book.cells[2].outputs[0]["text"].split()[1] == "True"


def test_interrupt_saves_and_the_notebook_goes_on(tmp_path: Path) -> None:
    train = f"""
import gannet, os, pathlib, signal, threading, time
def interrupt():
    stats = pathlib.Path('run/stats.jsonl')
    while not stats.exists() or stats.stat().st_size == 0:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
run = gannet.train('shapes', recipe='dcgan-shapes', kimg=100000, run='run', settings={SETTINGS})
"""
    book = notebook(train, "print(run.finished, len(list(run.path.glob('checkpoints/*.pt'))))")
    NotebookClient(book, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert book.cells[1].outputs[0]["text"].split() == ["False", "2"]
    assert (tmp_path / "run" / "generator" / "model.safetensors").exists()
