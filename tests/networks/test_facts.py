"""config.json of a network as others may write it: each field is checked, in one line, and nothing large is made."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gannet import __version__
from gannet.errors import UserError
from gannet.networks import GENERATORS
from gannet.networks.facts import no_larger_than
from gannet.networks.folder import load_network, read_network, save_file, save_network

CONFIG: dict[str, Any] = {
    "name": "r3gan",
    "resolution": 16,
    "channels": 3,
    "frames": 1,
    "classes": ["a", "b"],
    "settings": {"z_dim": 4, "widths": [4, 4, 4], "blocks": 1, "group_size": 2},
    "kimg": 1.5,
    "gannet": __version__,
    "class_shares": [0.5, 0.5],
    "ema_half_life_kimg": 0.5,
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = GENERATORS.find("r3gan")(16, 3, 2, **CONFIG["settings"])
    save_network(tmp_path / "G", network, CONFIG)
    return tmp_path / "G"


def change(place: Path, **fields: Any) -> None:
    path = place / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


SETTINGS = CONFIG["settings"]
FAULTS: list[tuple[str, Any, str]] = [
    ("resolution", 2**40, "resolution is 1099511627776, and must be a whole number from 1 to 4096"),
    ("resolution", 16.0, "resolution is 16.0, and must be"),
    ("resolution", True, "resolution is True, and must be"),
    ("resolution", 0, "resolution is 0, and must be"),
    ("channels", 10**12, "channels is 1000000000000, and must be a whole number from 1 to 65536"),
    ("channels", -3, "channels is -3, and must be"),
    ("frames", 0, "frames is 0, and must be a whole number"),
    ("frames", "1", "frames is 1, and must be a whole number"),
    ("frames", 2, "3 channels are not those of 2 frames"),
    ("classes", [1, 2], "classes is [1, 2], and must be a list of names"),
    ("classes", "ab", "classes is ab, and must be a list of names"),
    ("class_shares", None, "class_shares is None, and must be a list of numbers"),
    ("class_shares", [float("nan"), 1], "class_shares is [nan, 1], and must be a list of numbers"),
    ("real_logits", [2, 1], "real_logits is [2, 1], and must be a list of numbers that rise"),
    ("logit_is_probability", "no", "logit_is_probability is no, and must be true or false"),
    ("kimg", "x" * 99, f"kimg is {'x' * 37}..., and must be a number, at least 0"),
    ("kimg", 10**400, f"kimg is 1{'0' * 36}..., and must be a number, at least 0"),  # no float is so large
    ("ema_half_life_kimg", float("inf"), "ema_half_life_kimg is inf, and must be a number"),
    ("gannet", 7, "gannet is 7, and must be a version"),
    ("name", ["r3gan"], "name is ['r3gan'], and must be the name of a network"),
    ("settings", [["z_dim", 4]], "settings is [['z_dim', 4]], and must be a table"),
    ("settings", {**SETTINGS, "z_dim": 10**12}, "z_dim is 1000000000000, and must be a whole number from 1 to 1048576"),
    ("settings", {**SETTINGS, "blocks": 4.5}, "its setting blocks is 4.5, which no network has"),
    ("settings", {**SETTINGS, "widht": 4}, "there is no setting 'widht'"),
    ("settings", {**SETTINGS, "blocks": 10**9}, "the settings ask for more parameters than the "),
    ("settings", {**SETTINGS, "expansion": 2**36}, "size mismatch for "),  # terabytes, were it made
    ("format", 0, "format is 0, and must be a whole number, at most 1"),
    ("format", "1\n", "format is 1\\n, and must be a whole number, at most 1"),
    ("format", 2, "G was made by a newer Gannet (format 2, and 1 is read here): update Gannet"),
]


@pytest.mark.parametrize(("field", "value", "says"), FAULTS)
def test_each_fault_is_one_line(place: Path, field: str, value: Any, says: str) -> None:
    change(place, **{field: value})
    with pytest.raises(UserError) as caught:
        load_network(place, GENERATORS)
    said = str(caught.value)
    assert says in said and "\n" not in said and len(said) < 300 + len(str(place))


def test_whoever_reads_the_facts_alone_has_them_checked(place: Path) -> None:
    change(place, kimg=None)
    with pytest.raises(UserError, match="kimg is None, and must be a number"):
        read_network(place)


def test_the_format_is_written_and_may_be_missing(place: Path, tmp_path: Path) -> None:
    config = json.loads((place / "config.json").read_text())
    assert config.pop("format") == 1
    (place / "config.json").write_text(json.dumps(config))
    network, _ = load_network(place, GENERATORS)
    save_file(tmp_path / "G.safetensors", network, config)
    assert read_network(tmp_path / "G.safetensors")[0]["format"] == 1


def test_fields_of_later_versions_are_left_alone(place: Path) -> None:
    change(place, colour="mauve")
    assert load_network(place, GENERATORS)[1]["colour"] == "mauve"


def test_facts_without_an_end_are_one_line(place: Path) -> None:
    (place / "config.json").write_text("[" * 10**6)
    with pytest.raises(UserError, match="G cannot be read"):
        load_network(place, GENERATORS)


def test_only_what_this_thread_builds_is_counted() -> None:
    def others() -> None:
        for _ in range(1000):
            nn.Linear(1, 1)

    with no_larger_than(1):
        thread = threading.Thread(target=others)
        thread.start()
        thread.join()
        nn.Linear(1, 1)
    with pytest.raises(RuntimeError, match="more parameters"), no_larger_than(1):
        others()
    others()
