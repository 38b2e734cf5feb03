"""Every `gannet` command that README and docs show is run, on small images and for a moment."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from clips import save_run, save_videos
from PIL import Image
from runs import untrained

from gannet import api
from gannet.cli import main
from gannet.evaluating import generated
from gannet.generation.export import export
from gannet.generation.load import load

ROOT = Path(__file__).parents[1]
TINY = ["--kimg", "0.016", "--batch", "8", "--train.precision", "float32", "--samples.num", "4", "--resolution", "16"]
TRANSLATION = [*("--kimg", "0.004", "--batch", "2", "--train.precision", "float32"), *("--resolution", "32")]
TRANSLATION += ["--samples.num", "2", "--G.width", "4", "--D.width", "4"]
TRAINED = "runs/pix2pix"
GIVEN = {"runs/cyclegan": "resnet-blocks", "runs/srgan": "srresnet", "runs/styled": "stylegan2"}
VIDEOS = "path/to/videos"
CLIPS = {"runs/moving-dvdgan-small": 0, "runs/prediction": 2}
SWEPT = ["--train.extractor", "efficientnet-lite0", "--train.evaluate-num", "4", "--train.evaluate-every", "1"]
FILES = ("mine.toml", "FILE.toml", "model.onnx", "model.safetensors", "samples/latents.npy")
BUDGETS = ("--kimg", "--epochs", "--minutes", "--batch", "--resolution")
DOWNLOADED = ("mnist", "fashion-mnist", "cifar10")


def commands() -> list[str]:
    """The commands of all code blocks, without repetitions, `uv run` and what follows a pipe or a comment."""
    found: dict[str, None] = {}
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        blocks = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
        for line in "".join(block for language, block in blocks if not language).splitlines():
            if match := re.match(r"(?:pip install uv && )?(?:uv run )?(gannet .*)", line):
                found[match[1].split(" > ")[0]] = None
    return list(found)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in two class folders, a short run on them, runs that translate, and a recipe file."""
    place = tmp_path_factory.mktemp("docs")
    random = np.random.Generator(np.random.Philox(0))
    for i in range(24):
        folder = place / "images" / ("circle" if i % 2 else "square")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 40, 3), np.uint8)).save(folder / f"{i}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANNET_CACHE", str(place / "cache"))
        settings = {"train.precision": "float32", "train.batch": 8, "data.labels": True, "data.resolution": 16}
        api.train(place / "images", recipe="small", run=place / "run", kimg=0.05, settings=settings)
        save_videos(place / VIDEOS, frames=16, classes=("circle", "square"))
        for run, given in CLIPS.items():
            save_run(place / run, () if given else ("circle", "square"), given=given)
        for run, name in GIVEN.items():
            untrained(place / run, name, back=name == "resnet-blocks")
        settings = {"G.width": 4, "D.width": 4, "D.patch": 16, "train.batch": 8}
        settings |= {"train.precision": "float32", "data.resolution": 16, "data.held_out": 0.3}
        api.train(place / "images", recipe="pix2pix", run=place / TRAINED, kimg=0.008, settings=settings)
        rows = [f"{i},{1 + 0.1 * (i % 3)},{2 - 0.1 * (i % 3)}" for i in range(100)]
        (place / "log.csv").write_text("\n".join(["step,d_loss,g_loss", *rows]), "utf-8")
        (place / "mine.toml").write_text(api.recipes_text("small"), "utf-8")
        (place / "samples").mkdir()
        np.save(place / "samples" / "latents.npy", load(place / "run").noise(0, 0, 2))
        for to in ("onnx", "safetensors"):
            export(place / "run", to=to, out=place / f"model.{to}")
    return place


def in_place(command: str, place: Path) -> list[str]:
    """The command's words, with the places of the test, and a training that is short."""
    words = shlex.split(command, comments=True)[1:]
    given = {run: str(place / run) for run in (*GIVEN, *CLIPS, TRAINED, VIDEOS)}
    paths = given | {"path/to": str(place / "images"), "runs/": str(place / "run"), "FOLDER": str(place / "images")}
    words = [next((new for old, new in paths.items() if word.startswith(old)), word) for word in words]
    words = [str(place / word) if word in FILES else word for word in words]
    words = [str(place / "images") if word in DOWNLOADED else word for word in words]
    if words[0] == "diagnose":
        words[1] = str(place / "log.csv")
    if words[0] == "project":
        words = [*words[:2], str(place / "images" / "square" / "0.png"), *words[3:], "--steps", "2"]
    if words[0] == "evaluate" and "--extractor" not in words:
        words += ["--extractor", "efficientnet-lite0"]
    if words[0] not in ("train", "sweep"):
        return words
    if words[0] == "sweep":
        words = ["2" if i and words[i - 1] == "--trials" else word for i, word in enumerate(words)] + SWEPT
    kept = [word for i, word in enumerate(words) if word not in BUDGETS and (not i or words[i - 1] not in BUDGETS)]
    if any(word.startswith(("pix2pix", "cyclegan")) for word in words):
        return kept + TRANSLATION
    mlp = any(word.startswith("mlp") for word in words)
    return kept + [word for word in TINY if not mlp or word not in ("--resolution", "16")]


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_docs_runs(
    command: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANNET_CACHE", str(place / "cache"))
    monkeypatch.setattr(generated, "FEWEST", 24)
    words = in_place(command, place)
    if "--min-realness" in words:
        words[words.index("--min-realness") + 1] = "0.0"
    for option in {"--num", "--train.evaluate-num"} & set(words):
        words[words.index(option) + 1] = "4"
    try:
        status = main(words)
    except SystemExit as end:
        status = end.code or 0
    assert status == 0, capsys.readouterr().err


def test_the_docs_show_commands() -> None:
    assert len(commands()) > 15


def test_every_picture_and_page_that_is_linked_exists() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
