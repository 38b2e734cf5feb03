"""Runs side by side on the page have the numbers of `gannet compare`."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from studios import Ask, Runs, error, stats

from gannet.experiments.compare import compare


def measured(values: list[float]) -> list[dict[str, Any]]:
    protocol = {"extractor": "pixels", "seed": 0}
    return [
        {"type": "metric", "kimg": i + 1.0, "metric": "KID", "value": value, "low": value, "high": value}
        | {"better": "lower", "protocol": protocol}
        for i, value in enumerate(values)
    ]


@pytest.fixture
def two(runs: Runs) -> list[Path]:
    """Two rates, two seeds each."""
    return [
        runs(f"lr{rate}s{seed}", [*stats(20), *measured([0.5, 0.3 + 0.1 * seed + rate])], seed=seed)
        if rate == 0
        else runs(f"lr{rate}s{seed}", [*stats(20), *measured([0.6, 0.2])], seed=seed, **{"optim.D.lr": 1e-3})
        for rate in (0, 1)
        for seed in (0, 1)
    ]


def test_the_table_is_that_of_the_command(two: list[Path], ask: Ask, tmp_path: Path) -> None:
    names = [run.name for run in two]
    found = ask().get(f"/api/compare?runs={'&runs='.join(names)}&names=loss%20D").json()
    expected = json.loads(json.dumps(compare(*two, out=tmp_path / "out").to_dict()))
    assert found["table"]["metrics"] == expected["metrics"] and found["table"]["tests"] == expected["tests"]
    assert [group["group"] for group in found["table"]["groups"]] == ["optim.D.lr 0.0002", "optim.D.lr 0.001"]
    assert [group["runs"] for group in found["table"]["groups"]] == [names[:2], names[2:]]
    assert [run["name"] for run in found["runs"]] == names and list(found["runs"][0]["curves"]["series"]) == ["loss D"]
    assert len(found["runs"][0]["metrics"]) == 2 and found["runs"][0]["kimg"] == 2.0
    assert any("no images of lr0s0" in note for note in found["notes"]) and str(tmp_path) not in json.dumps(found)


def test_images_are_of_the_same_noise(trained: Path, ask: Ask, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(trained / "small", tmp_path / "runs" / name)
    found = ask().get("/api/compare?runs=a&runs=b").json()
    assert found["runs"][0]["grid"] == found["runs"][1]["grid"] and found["runs"][0]["grid"].startswith(
        "data:image/png"
    )
    assert "loss D" in found["runs"][0]["curves"]["series"]
    assert found["table"] is None and "same seed" in found["notes"][0]  # the same run twice


def test_runs_without_metrics_or_of_another_version_are_shown_all_the_same(runs: Runs, ask: Ask) -> None:
    runs("a", stats(5))
    odd = runs("b", stats(5))
    (odd / "recipe.toml").write_text("unheard = 1\n")
    found = ask().get("/api/compare?runs=a&runs=b").json()
    assert found["table"] is None and found["notes"][-1].startswith("no table: b: recipe.toml")
    alone = ask().get("/api/compare?runs=a").json()
    assert alone["table"]["metrics"] == [] and any("no run has metric" in note for note in alone["table"]["notes"])


def test_seeds_for_which_auto_chose_another_precision_are_told(runs: Runs, ask: Ask) -> None:
    for seed, precision in enumerate(("float32", "bfloat16", "bfloat16")):
        runs(f"seed{seed}", [*stats(5), *measured([0.5])], seed=seed, **{"train.precision": precision})
    table = ask().get("/api/compare?runs=seed0&runs=seed1&runs=seed2").json()["table"]
    assert [group["settings"] for group in table["groups"]] == [
        {"train.precision": "float32"},
        {"train.precision": "bfloat16"},
    ]
    told = [note for note in table["notes"] if "auto" in note]
    assert len(told) == 1 and told[0].startswith(
        "seed0 (float32) and seed1, seed2 (bfloat16) differ in train.precision"
    )
    table = ask().get("/api/compare?runs=seed1&runs=seed2").json()["table"]
    assert not any("auto" in note for note in table["notes"])


def test_a_metric_without_its_value_is_told_and_the_rest_is_shown(runs: Runs, ask: Ask) -> None:
    runs("a", [*stats(5), *measured([0.5])])
    runs("b", [*stats(5), {"type": "metric", "kimg": 1.0, "metric": "KID"}])
    found = ask().get("/api/compare?runs=a&runs=b")
    assert found.status_code == 200 and found.json()["table"] is None
    assert "cannot be understood" in found.json()["notes"][-1] and len(found.json()["runs"]) == 2


def test_unknown_runs_and_too_many_are_told_in_one_line(runs: Runs, ask: Ask) -> None:
    runs("a", stats(5))
    error(ask().get("/api/compare?runs=a&runs=nothing"), 404)
    error(ask().get("/api/compare"), 422)
    assert "12" in error(ask().get("/api/compare", params={"runs": ["a"] * 13}), 400)


def test_a_name_may_hold_what_an_address_is_made_of(runs: Runs, ask: Ask) -> None:
    names = ["lr 1e-3, wide & ?", "b"]
    for name in names:
        runs(name, stats(40))
    assert ask().get("/api/compare", params={"runs": names}).json()["names"] == names
