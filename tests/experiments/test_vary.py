"""What `--vary` takes, and what it refuses before anything is trained."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from gannet.cli import main
from gannet.config import Recipe
from gannet.errors import UserError
from gannet.experiments.vary import Listed, Ranged, checked, parse_vary, words
from gannet.options import sweep_options
from gannet.recipes import recipe

OTHER_METRIC = ("data.resolution", "resolution", "data.held-out", "data.channels", "data.fit", "data.labels")
OTHER_METRIC += ("train.evaluate-num", "train.extractor", "train.metric")


def recipe_of(settings: Mapping[str, str]) -> Recipe:
    return sweep_options(recipe("dcgan-shapes"), words(settings))[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optim.D.lr=1e-4,4e-4", Listed("optim.D.lr", ("1e-4", "4e-4"))),
        ("--optim.D.lr=1e-4", Listed("optim.D.lr", ("1e-4",))),
        ("G.attention=8, 8 16", Listed("G.attention", ("8", "8 16"))),
        ("objective.name=hinge,my_module:Mine", Listed("objective.name", ("hinge", "my_module:Mine"))),
        ("D.name=my_module:Mine", Listed("D.name", ("my_module:Mine",))),
        ("data.flip=true,false", Listed("data.flip", ("true", "false"))),
        ("augment.kimg=50:200:log", Ranged("augment.kimg", 50.0, 200.0, log=True)),
        ("optim.G.lr=1e-5:1e-3", Ranged("optim.G.lr", 1e-5, 1e-3)),
        ("schedules.optim.G.lr=linear to 0 over 50%", Listed("schedules.optim.G.lr", ("linear to 0 over 50%",))),
    ],
)
def test_lists_and_ranges(text: str, expected: Listed | Ranged) -> None:
    assert parse_vary(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("optim.D.lr", "name a setting and its values"),
        ("=3", "name a setting and its values"),
        ("optim.D.lr=", "name a setting and its values"),
        ("optim.D.lr=1e-4,,4e-4", "an empty value, or the same twice"),
        ("optim.D.lr=1e-4,1e-4", "an empty value, or the same twice"),
        ("optim.D.lr=4e-4:1e-4", "LOW under HIGH"),
        ("optim.D.lr=0:1e-4:log", "LOW under HIGH, above 0 with :log"),
        ("optim.D.lr=1:2:3:4", "LOW under HIGH"),
        ("optim.D.lr=1:many", "the ends of a range are numbers"),
        ("seed=1,2", "set by --seeds"),
        ("train.length=1 kimg,2 kimg", "set by --kimg"),
        ("bacth=1,2", "did you mean 'batch'?"),
        ("json=true,false", "there is no such setting"),
        ("train.evaluate-every=1,2", "set by --train.evaluate-every"),
        ("Train.Length=1 kimg,2 kimg", "set by --kimg"),
        ("Resolution=16,32", "the metric would be another for each value"),
        *((f"{name}=1,2", f"--vary {name}: the metric would be another for each value") for name in OTHER_METRIC),
    ],
)
def test_what_is_neither_is_one_line(text: str, says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        parse_vary(text)


def test_settings_become_options() -> None:
    made = recipe_of(
        {
            "batch": "16",
            "D.norm": "spectral",
            "D.attention": "8 16",
            "data.flip": "true",
            "D.bias": "false",
            "augment.name": "ada",
            "augment.kimg": "50",
            "penalties.r1.gamma": "2",
            "schedules.optim.G.lr": "linear to 0 over 50%",
        }
    )
    assert (made.train.batch, made.data.flip, made.augment.name) == (16, True, "ada")
    assert (made.D.settings["norm"], made.D.settings["bias"]) == ("spectral", False)
    assert list(made.D.settings["attention"]) == [8, 16]
    assert made.augment.settings["kimg"] == 50.0 and made.penalties["r1"]["gamma"] == 2.0
    assert made.schedules["optim.G.lr"] == "linear to 0 over 50%"


def test_a_range_is_of_whole_numbers_where_the_setting_is() -> None:
    texts = ("D.width=16:64:log", "batch=4:8", "optim.G.lr=1:2", "penalties.r1.gamma=1:10", "lr=1:2")
    found = checked([parse_vary(text) for text in texts], recipe_of)
    assert [isinstance(each, Ranged) and each.whole for each in found] == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optim.d.lr=1e-4,4e-4", "optim.D.lr=1e-4,4e-4"),
        ("EMA.half-life-kimg=1,2", "ema.half_life_kimg=1,2"),
        ("d.NORM=batch,spectral", "D.norm=batch,spectral"),
        ("Batch=4,8", "train.batch=4,8"),
        ("optim.g.lr=1e-4:1e-3:log", "optim.G.lr=0.0001:0.001:log"),
        ("lr=1e-4,1e-3", "lr=1e-4,1e-3"),
        ("schedules.optim.g.lr=linear to 0 over 50%", "schedules.optim.G.lr=linear to 0 over 50%"),
        ("penalties.r1.gamma=1,2", "penalties.r1.gamma=1,2"),
    ],
)
def test_a_setting_has_one_name_however_it_is_written(text: str, expected: str) -> None:
    assert [str(each) for each in checked([parse_vary(text)], recipe_of)] == [expected]


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["optim.D.lr=1e-4", "optim.d.lr=2e-4"], "--vary optim.D.lr is given twice"),
        (["optim.D.rl=1e-4,4e-4"], "there is no option --optim.D.rl; did you mean '--optim.D.lr'?"),
        (["D.nrom=batch,spectral"], "did you mean '--D.norm'?"),
        (["D.norm=batch,spectrum"], "D.norm"),
        (["train.batch=4,many"], "train.batch"),
        (["D.norm=1:2"], "D.norm"),
        (["schedules.optim.G.lr=1:2"], "a range, which is for numbers"),
        (["D.width=16:20.5"], "D.width"),
        (["D.norm=batch", "D.norm=spectral"], "--vary D.norm is given twice"),
        (["optim.D.lr=-1,1e-4"], "optim.D.lr"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    texts: list[str],
    says: str,
    pictures: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    varied = [word for text in texts for word in ("--vary", text)]
    assert main(["sweep", str(pictures()), "--recipe", "dcgan-shapes", "--resolution", "16", *varied]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
    assert not Path("sweeps").exists()
