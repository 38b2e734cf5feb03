"""Publishing on the hub: what is sent, what the card says, what is refused; and loading from there."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from clips import save_run
from hub_server import Hub, oid, serving
from huggingface_hub import constants
from measured import Pixels
from PIL import Image
from runs import untrained

import gannet
from gannet import api, evaluating
from gannet.cli import main
from gannet.errors import UserError
from gannet.generation.sampler import Sampler
from gannet.networks import GENERATORS
from gannet.networks import folder as networks_folder
from gannet.networks.folder import load_network, save_network
from gannet.publishing import publish
from gannet.training import measure

V0_1 = Path(__file__).parents[1] / "generation" / "fixtures" / "v0.1"
TOKEN = "hf_a_token_that_is_secret"
PROTOCOL = {"extractor": "inception", "reals": "trained on", "real images": 24, "seed": 0}
SCORE = {"metric": "KID", "value": 0.0123, "low": 0.011, "high": 0.0136, "better": "lower", "protocol": PROTOCOL}
SENTENCE = "No sign of copying: 3 of 64 samples are nearer."


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run on pictures in class folders with telling names."""
    place = tmp_path_factory.mktemp("trained")
    random = np.random.Generator(np.random.Philox(0))
    for i in range(24):
        folder = place / "secret-clinic" / ("ant" if i % 3 else "bee")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / f"patient{i}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANNET_CACHE", str(place / "cache"))
        patch.setattr(measure, "time_iterations", lambda training: 0.01)
        settings = {"train.precision": "float32", "train.batch": 8, "data.labels": True, "data.resolution": 16}
        settings |= {"data.held_out": 0.2, "G.width": 4, "D.width": 4, "samples.num": 4}
        api.train(place / "secret-clinic", recipe="small", run=place / "run", kimg=0.016, settings=settings)
    return place / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "runs" / "mine")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine that knows one token, and this machine's way to it."""
    hub = Hub()
    hub.tokens = {TOKEN}
    with serving(hub) as address:
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("GANNET_CACHE", str(tmp_path / "cache"))
        yield hub


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def card(run: Path, out: Path, **more: Any) -> str:
    publish(run, "me/ants", dry_run=True, out=out, **more)
    return (out / "README.md").read_text("utf-8")


def head(text: str) -> dict[str, Any]:
    """The lines of the YAML, whose values here are JSON or plain words."""
    lines = text.split("---\n")[1].splitlines()
    pairs = [line.partition(": ")[::2] for line in lines]
    return {name: json.loads(value) if value[0] in '"[' else value for name, value in pairs}


EVERYTHING = {"README.md", "generator/config.json", "generator/model.safetensors", "model.onnx", "samples.png"}


def test_a_dry_run_writes_the_folder_and_lists_it(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # it needs no hub
    words = ["export", str(run), "--to", "hub", "--repo", "me/ants", "--licence", "MIT", "--dry-run"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert files(tmp_path / "hub") == EVERYTHING and all(name in said for name in EVERYTHING)
    assert "would send 5 files" in said and "nothing was sent" in said
    assert main([*words, "--json"]) == 0  # again, in the place of the first
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == {name: (tmp_path / "hub" / name).stat().st_size for name in EVERYTHING}
    assert (told["url"], told["repository"], told["folder"]) == (None, "me/ants", "hub")


def test_what_is_written_is_the_generator(run: Path, tmp_path: Path) -> None:
    publish(run, "me/ants", dry_run=True, out=tmp_path / "hub")
    for place in (tmp_path / "hub", tmp_path / "hub" / "model.onnx"):
        one, other = gannet.load(run), gannet.load(place)
        assert isinstance(one, Sampler) and isinstance(other, Sampler)
        assert np.abs(np.asarray(one.sample(3)) - np.asarray(other.sample(3))).max() < 1e-4
    with Image.open(tmp_path / "hub" / "samples.png") as picture:
        assert picture.width >= 8 * 16


def test_the_card_says_what_the_run_says(run: Path, tmp_path: Path) -> None:
    text = card(run, tmp_path / "hub", licence="CC-BY-4.0")
    said = head(text)
    assert said["library_name"] == "gannet" and said["license"] == "cc-by-4.0"
    assert said["pipeline_tag"] == "unconditional-image-generation"
    assert said["tags"] == ["gan", "gannet", "dcgan", "onnx"]
    facts = json.loads((run / "generator" / "config.json").read_text())
    trained_on = round(24 * (1 - 0.2))
    found = [line for line in text.splitlines() if line.startswith("| images")]
    counts = [int(line.split("|")[2]) for line in found]
    assert sum(counts) == 24 and abs(counts[0] - trained_on) <= 4
    shares = [f"{name} {share:.1%}" for name, share in zip(("ant", "bee"), facts["class_shares"], strict=True)]
    assert f"| classes | {', '.join(shares)} |" in text
    for line in ("by label, of 2 classes: RGB, 16x16 pixels", "| recipe | small (", "| batch | 8 |", "r1", "ada"):
        assert line in text, line
    assert "\n# me/ants\n" in text
    assert "gannet sample hf://me/ants" in text and "![samples](samples.png)" in text
    assert "It was not measured" in text and "It was not checked whether it copies" in text
    assert "this guarantees no privacy" in text and "CC-BY-4.0." in text
    assert "They were few" in text


def test_the_card_holds_no_path_and_no_name_of_a_file(run: Path, tmp_path: Path) -> None:
    publish(run, "me/ants", dry_run=True, out=tmp_path / "hub")
    everything = b"".join((tmp_path / "hub" / name).read_bytes() for name in EVERYTHING)
    for secret in ("secret-clinic", "patient", str(tmp_path), "runs/mine"):
        assert secret.encode() not in everything, secret


def test_metrics_come_with_their_protocol(run: Path, tmp_path: Path) -> None:
    lines = [{"type": "metric", "kimg": kimg, **SCORE, "value": value} for kimg, value in ((0.008, 0.5), (0.016, 0.4))]
    later = {"type": "metric", "kimg": 0.5, **SCORE, "value": 0.1}  # of weights that are not there any more
    with (run / "stats.jsonl").open("a") as file:
        file.write("".join(json.dumps(line) + "\n" for line in [*lines, later, {"type": "metric", "metric": "broken"}]))
    text = card(run, tmp_path / "hub")
    assert "| KID | 0.4 | 0.011 to 0.0136 | lower | while training, at 0.016 kimg |" in text
    assert "extractor inception; reals trained on; real images 24; seed 0" in text
    assert "It was not measured" not in text and "| KID | 0.1 |" not in text and "| KID | 0.5 |" not in text


def changed(generator: Path, to: Path) -> None:
    """Writes it with other weights."""
    network, config = load_network(generator, GENERATORS)
    next(iter(network.parameters())).mul_(2)
    save_network(to, network, config)


def write_report(run: Path, of: Path, name: str = "evaluation", **more: Any) -> Path:
    weights = json.loads((of / "generator" / "config.json").read_text())["sha256"]
    path = run / name / "report.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"weights": weights, "scores": [SCORE], "copying": None, **more}))
    return path


def test_the_report_of_evaluate_is_told(run: Path, tmp_path: Path) -> None:
    copying = {"sentence": SENTENCE, "repetition": "No sample repeats.", "training_files": ["patient3.png"]}
    write_report(run, run, copying=copying)
    text = card(run, tmp_path / "hub")
    assert "| KID | 0.0123 | 0.011 to 0.0136 | lower | by gannet evaluate |" in text
    assert f"{SENTENCE} No sample repeats." in text and "patient3" not in text
    assert "It was not checked" not in text and "this guarantees no privacy" in text


def test_a_report_of_other_weights_is_not_told(run: Path, tmp_path: Path) -> None:
    changed(run / "generator", run / "best" / "generator")
    write_report(run, run / "best", copying={"sentence": SENTENCE})
    write_report(run, run, "old", weights=None, copying={"sentence": SENTENCE})
    (run / "broken").mkdir()
    (run / "broken" / "report.json").write_text("{")
    text = card(run, tmp_path / "hub")
    assert SENTENCE not in text and "by gannet evaluate" not in text
    text = card(run / "best", tmp_path / "hub")
    assert SENTENCE in text and "| recipe | small (" in text


def test_the_report_that_evaluate_writes_is_of_the_weights_it_measured(
    trained: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluating, "open_extractor", lambda *asked: Pixels())
    gannet.evaluate(run, trained.parent / "secret-clinic", metrics=["kid"], num=8, out=run / "evaluation")
    text = card(run, tmp_path / "hub")
    assert "by gannet evaluate |" in text
    changed(run / "generator", run / "generator")
    assert "by gannet evaluate |" not in card(run, tmp_path / "hub")


def test_what_raters_chose_of_these_weights_is_told(run: Path, tmp_path: Path) -> None:
    assert "real one" not in card(run, tmp_path / "hub")
    kimg = json.loads((run / "generator" / "config.json").read_text())["kimg"]
    choice = {"time": "", "pair": 0, "rater": "Ann Smith", "choice": "real", "ms": 1, "seconds": None, "label": None}
    lines = [{**choice, "kimg": kimg, "correct": i >= 3} for i in range(10)]
    lines += [{**choice, "kimg": kimg / 2, "correct": False}] * 7  # of weights that are not there any more
    (run / "ratings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "half a li")
    text = card(run, tmp_path / "hub")
    assert "Of 10 pairs" in text and "took its own for the real one in 30%" in text
    assert "is 7% to 65% (Clopper" in text and "Ann" not in text  # scipy's binomtest(3, 10): 0.0667 to 0.6525


def test_a_folder_without_its_run_says_less(tmp_path: Path) -> None:
    text = card(V0_1, tmp_path / "hub")
    assert "The run that trained it was not at hand" in text and "| classes | day 50.0%, night 50.0% |" in text
    assert "license" not in head(text) and "None was given: ask the owner" in text
    assert "without --licence" in str(publish(V0_1, "me/ants", dry_run=True, out=tmp_path / "hub"))


def test_a_licence_that_the_hub_does_not_know_is_named(tmp_path: Path) -> None:
    said = head(card(V0_1, tmp_path / "hub", licence='My own: no "X"'))
    assert (said["license"], said["license_name"]) == ("other", "my-own-no-x")
    assert '## Licence\n\nMy own: no "X".' in (tmp_path / "hub" / "README.md").read_text()


def test_translators_are_published_without_pictures(tmp_path: Path) -> None:
    """Those would show the images that they were given."""
    text = card(untrained(tmp_path / "run", "resnet-blocks", back=True), tmp_path / "hub")
    assert head(text)["pipeline_tag"] == "image-to-image" and "gannet translate hf://me/ants FOLDER" in text
    assert files(tmp_path / "hub") == EVERYTHING - {"samples.png"} | {
        "generator_F/config.json",
        "generator_F/model.safetensors",
    }


@pytest.mark.parametrize("given", [0, 2])
def test_clips_are_published(given: int, tmp_path: Path) -> None:
    save_run(tmp_path / "run", given=given)
    text = card(tmp_path / "run", tmp_path / "hub")
    assert "pipeline_tag" not in head(text) and "video" in head(text)["tags"]
    assert "It makes clips of 3 frames of noise: RGB, 16x16 pixels." in text
    assert ("--given FOLDER_OF_VIDEOS" in text) == bool(given) == ("samples.png" not in files(tmp_path / "hub"))


def test_without_onnx_the_reason_is_said(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    made = publish(run, "me/ants", dry_run=True, out=tmp_path / "hub")
    assert files(tmp_path / "hub") == EVERYTHING - {"model.onnx"}
    assert "no model.onnx: --to onnx needs the package onnx" in str(made)
    assert "`model.onnx`" not in (tmp_path / "hub" / "README.md").read_text()


def test_private_runs_need_a_word(run: Path, tmp_path: Path) -> None:
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("private = false", "private = true"))
    shutil.copytree(run / "generator", run / "generator_F")  # as runs of cyclegan have it
    for place in (run, run / "generator", run / "generator_F"):
        with pytest.raises(UserError, match=r"is private, and .*: add --allow-private if you may"):
            publish(place, "me/ants", dry_run=True, out=tmp_path / "hub")
    assert not (tmp_path / "hub").exists()
    assert "private = true" in card(run, tmp_path / "hub", allow_private=True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--to hub --dry-run", "--to hub needs the repository's name: add --repo OWNER/NAME"),
        ("--to hub --repo ants --dry-run", "--repo is 'ants', and must be OWNER/NAME"),
        ("--to hub --repo a/b/c --dry-run", "must be OWNER/NAME"),
        ("--to hub --repo me/../x --dry-run", "must be OWNER/NAME"),
        ("--to hub --repo me/a--b --dry-run", "must be OWNER/NAME"),
        ("--to hub --repo me/ants --out made", "--out is the folder that a dry run leaves: add --dry-run"),
        ("--to hub --repo me/ants --dry-run --out kept", "kept holds mine.txt, which no dry run wrote"),
        ("--to hub --repo me/ants --dry-run --out .", "--out is .: name another folder"),
        ("--to hub --repo me/ants --dry-run --out kept/mine.txt", "is a file: name a folder with --out"),
        ("--to onnx --repo me/ants", "--repo is for --to hub: leave it out"),
        ("--to onnx --dry-run", "--dry-run is for --to hub: leave it out"),
        ("--to safetensors --licence mit", "--licence is for --to hub: leave it out"),
    ],
)
def test_what_cannot_be_published_is_one_line(
    words: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "mine.txt").write_text("mine")
    assert main(["export", str(V0_1), *words.split()]) == 2
    said = capsys.readouterr().err
    assert said.startswith("gannet: ") and said.count("\n") == 1 and says in said
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "mine.txt"]


def test_damaged_weights_are_not_published(run: Path, tmp_path: Path) -> None:
    data = bytearray((run / "generator" / "model.safetensors").read_bytes())
    data[-3] ^= 1
    (run / "generator" / "model.safetensors").write_bytes(data)
    with pytest.raises(UserError, match="their SHA-256 differs"):
        publish(run, "me/ants", dry_run=True, out=tmp_path / "hub")
    assert not (tmp_path / "hub").exists()


def test_published_and_loaded_again(
    run: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it through huggingface_hub and HTTP."""
    monkeypatch.setattr(networks_folder, "PAUSE", 0)
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(run), "--to", "hub", "--repo", "me/ants", "--licence", "mit"]) == 0
    said = capsys.readouterr().out
    assert "sent 5 files" in said and "/me/ants" in said and TOKEN not in said
    assert set(hub.files("me/ants")) == EVERYTHING and [p.name for p in tmp_path.iterdir()] == ["runs"]
    first = oid(1)

    hub.commits["me/ants"].append({**hub.files("me/ants"), "evil.pkl": b"cos\nsystem\n(S'true'\ntR.", "a.py": b"1/0"})
    plain: Any = gannet.load(run)
    expected = plain.sample(4, seed=2).numpy()
    assert main(["sample", "hf://me/ants", "--num", "4", "--seed", "2", "--out", "made"]) == 0
    assert len(files(tmp_path / "made")) == 4
    assert {path.split("/")[-1] for kind, path in hub.asked if "/resolve/" in path} == {
        "config.json",
        "model.safetensors",
    }
    loaded: Any = gannet.load("hf://me/ants")
    assert np.array_equal(loaded.sample(4, seed=2).numpy(), expected)
    with pytest.raises(UserError, match="discriminator is not there"):
        loaded.discriminator()

    weights = bytearray(hub.files("me/ants")["generator/model.safetensors"])
    weights[-3] ^= 1
    hub.commits["me/ants"].append({**hub.files("me/ants"), "generator/model.safetensors": bytes(weights)})
    with pytest.raises(UserError, match="their SHA-256 differs"):
        gannet.load("hf://me/ants")
    pinned: Any = gannet.load(f"hf://me/ants@{first}")
    assert np.array_equal(pinned.sample(4, seed=2).numpy(), expected)


def test_files_that_are_no_longer_made_go(run: Path, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(run, "me/ants")
    hub.commits["me/ants"].append({**hub.files("me/ants"), "notes.md": b"mine"})
    monkeypatch.setitem(sys.modules, "onnx", None)
    publish(run, "me/ants")
    assert set(hub.files("me/ants")) == EVERYTHING - {"model.onnx"} | {"notes.md"}


def test_a_repository_with_an_onnx_file_alone(run: Path, hub: Hub, tmp_path: Path) -> None:
    publish(run, "me/ants", dry_run=True, out=tmp_path / "hub")
    hub.commits["me/file"] = [{"model.onnx": (tmp_path / "hub" / "model.onnx").read_bytes(), "x.bin": b""}]
    loaded: Any = gannet.load("hf://me/file")
    assert loaded.folder.name == "model.onnx" and loaded.sample(2).shape == (2, 3, 16, 16)
    hub.commits["me/other"] = [{"pytorch_model.bin": b"", "model_index.json": b"{}"}]
    with pytest.raises(UserError, match="hf://me/other holds no folder generator/ as a run has it"):
        gannet.load("hf://me/other")
    assert not list((tmp_path / "cache").rglob("*.bin"))


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("hf://me", "names no repository: write hf://OWNER/NAME, or hf://OWNER/NAME@REVISION"),
        ("hf://me/", "names no repository"),
        ("hf://me/ants@", "names no repository"),
        ("hf://me/nothing", "there is no such repository, or it is private"),
        ("hf://me/ants@7", "it has no such revision"),
    ],
)
def test_addresses_that_lead_nowhere_are_one_line(
    address: str, says: str, hub: Hub, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hub.commits["me/ants"] = [{"README.md": b""}]
    assert main(["sample", address, "--out", str(tmp_path / "made")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("gannet: ") and said.count("\n") == 1 and says in said


def test_what_was_loaded_once_needs_no_network(run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(run, "me/ants")
    first: Any = gannet.load("hf://me/ants")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    again: Any = gannet.load("hf://me/ants")
    assert np.array_equal(first.sample(2), again.sample(2))
    with pytest.raises(UserError, match=r"cannot load hf://me/bees \(the hub cannot be reached\)"):
        gannet.load("hf://me/bees")


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "the hub does not know this token: run hf auth login again, or mend HF_TOKEN"),
        (403, "the hub's token may not write to me's repositories: take one that may, or another --repo"),
        (418, "cannot publish at me/ants ("),
    ],
)
def test_what_the_hub_refuses_is_one_line(status: int, says: str, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.refuses = status
    assert main(["export", str(V0_1), "--to", "hub", "--repo", "me/ants"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("gannet: ") and said.count("\n") == 1 and says in said and TOKEN not in said
    assert not hub.commits


def test_without_a_token_a_package_or_a_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"cannot publish at me/ants \(the hub cannot be reached\): try again"):
        publish(V0_1, "me/ants")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(UserError, match="needs a token of the hub that may write: run hf auth login, or set HF_TOKEN"):
        publish(V0_1, "me/ants")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"--to hub needs the package huggingface_hub: pip install 'gannet-gan\[hub\]'"):
        publish(V0_1, "me/ants")
    with pytest.raises(UserError, match=r"hf:// needs the package huggingface_hub"):
        gannet.load("hf://me/ants")
