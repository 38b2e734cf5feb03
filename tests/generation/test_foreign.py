"""Folders and files of other tools, and those of Gannet that are not whole: one line each, and nothing is run."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gannet.cli import main

V0_1 = Path(__file__).parent / "fixtures" / "v0.1"


class Evil:
    """Unpickled, it writes a file."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.target,)


def written(place: Path, **files: str) -> None:
    place.mkdir()
    for name, text in files.items():
        (place / ".".join(name.rsplit("_", 1))).write_text(text)


def diffusers(place: Path) -> None:
    written(place, model_index_json='{"_class_name": "DDPMPipeline"}')
    written(place / "unet", config_json="{}")


def runs(place: Path) -> None:
    place.mkdir()
    for name in ("b", "a"):
        written(place / name, recipe_toml="")


def transformers(place: Path) -> None:
    written(place, config_json='{"model_type": "vit", "architectures": ["ViTModel"]}')
    save_file({"weight": torch.zeros(2)}, place / "model.safetensors")


def old_transformers(place: Path) -> None:
    written(place, config_json='{"model_type": "vit"}')
    (place / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(place / "ran")))


def stylegan(place: Path) -> None:
    place.write_bytes(pickle.dumps(Evil(place.parent / "ran")))


def disguised(place: Path) -> None:
    """A pickle under the name that is read."""
    shutil.copytree(V0_1, place)
    (place / "model.safetensors").write_bytes(pickle.dumps(Evil(place / "ran")))


def copy(place: Path) -> Path:
    shutil.copytree(V0_1, place)
    return place


def newer(place: Path) -> None:
    config = json.loads((copy(place) / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**config, "gannet": "9.0", "name": "hypergan"}))


CASES: list[tuple[str, Callable[[Path], object], str]] = [
    ("model", diffusers, "model was not written by Gannet: it holds model_index.json, and no run and no generator"),
    ("runs", runs, "runs is a folder of runs: name one of them, such as runs/a"),
    ("model", transformers, "model was not written by Gannet: its config.json says of no network how to build it"),
    ("model", old_transformers, "model holds no model.safetensors: is it the folder of a trained network?"),
    ("network.pkl", stylegan, "network.pkl is a file, where the folder of a run or of a generator is needed"),
    ("G", disguised, "G cannot be read"),
    ("G", lambda place: (copy(place) / "model.safetensors").unlink(), "G holds no model.safetensors"),
    ("G", lambda place: (copy(place) / "config.json").unlink(), "G was not written by Gannet: it holds first.png"),
    ("G", newer, "(Gannet 9.0 wrote them, and this is "),
    ("nothing", lambda place: None, "there is no run and no generator at"),
]


@pytest.mark.parametrize("command", ["sample", "export", "serve"])
@pytest.mark.parametrize(("name", "make", "says"), CASES)
def test_it_is_one_line(
    name: str,
    make: Callable[[Path], object],
    says: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / name)
    more = {"sample": ["--out", "made"], "export": ["--to", "hub", "--repo", "me/G", "--dry-run"], "serve": []}[command]
    assert main([command, name, *more]) == 2
    said = capsys.readouterr().err
    assert said.startswith("gannet: ") and said.count("\n") == 1 and says in said
    assert {path.name for path in tmp_path.iterdir()} <= {name} and not list(tmp_path.rglob("ran"))
