"""What a person is told: the report, its JSON, the curves, the change to make."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from played import log_of, path, played

from gannet.cli import main
from gannet.diagnosis import Evidence, Finding, Sign, diagnose, report
from gannet.diagnosis.curves import save_curves
from gannet.diagnosis.detectors import DETECTORS
from gannet.diagnosis.remedies import BY_EVIDENCE, REMEDIES, remedy

WON = played("non-saturating", path(8, 9), path(-8, -9), swing=2)
EVEN = played("hinge", path(0.2, 0.6), path(-0.2, -0.6))
FID = {"fid": np.r_[np.linspace(100, 40, 300), np.linspace(40, 90, 700)]}


def csv(folder: Path, losses: dict[str, np.ndarray]) -> Path:
    pairs = zip(losses["loss D"], losses["loss G"], strict=True)
    rows = [f"{i * 100},{d},{g}" for i, (d, g) in enumerate(pairs, 1)]
    (folder / "log.csv").write_text("\n".join(["step,d_loss,g_loss", *rows]), "utf-8")
    return folder / "log.csv"


def test_every_detector_has_a_remedy_and_words() -> None:
    assert set(DETECTORS.rows) == {*REMEDIES, *BY_EVIDENCE, "past-best"} == set(report.WORDS)


def test_the_json_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", str(csv(tmp_path, WON)), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert list(said) == ["verdict", "findings"] and said["verdict"] == "failed"
    keys = ["finding", "since", "until", "confidence", "evidence", "change", "why", "source"]
    assert [list(finding) for finding in said["findings"]] == [keys]
    finding = said["findings"][0]
    assert (finding["finding"], finding["until"], finding["change"]) == ("d-wins", None, "--penalties.r1.gamma 1")
    assert {"statistic", "value", "threshold", "meaning"} == set(finding["evidence"][0])


def test_the_report_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["diagnose", str(csv(tmp_path, WON)), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("log.csv: failed. D wins, since step 20,000.")
    assert "  change    --penalties.r1.gamma 1\n" in said
    assert "no fid, kid or distance is logged" in said
    assert max(map(len, said.splitlines())) <= report.WIDTH
    assert (out / "diagnosis.txt").read_text("utf-8") == said
    with Image.open(out / "diagnosis.png") as picture:
        assert picture.width > 500


def test_a_healthy_log_is_told_what_to_expect() -> None:
    log = log_of(EVEN)
    assert "Nothing is wrong. Expect" in report.text(diagnose(log), log, "mine")


def test_what_a_watched_run_is_told() -> None:
    sign = Sign(12.5, None, 0.8, [Evidence("G.z_dim", 1, 4, "the dimensions of the noise")])
    said = report.arises(Finding("settings", sign, remedy("settings", {}, sign, "kimg")), "kimg")
    assert said.splitlines() == [
        "A setting is out of range, since 12.5 kimg: with it, samples stay far from the data, or near it too slowly.",
        "  one change: --G.z-dim 64 (of so few numbers G cannot make so many unlike images)",
    ]
    assert report.clears("settings", "20 kimg") == "No longer, at 20 kimg: A setting is out of range."


def test_the_best_is_told() -> None:
    log = log_of({**WON, **FID})
    said = " ".join(report.text(diagnose(log), log, "mine").split())
    assert "The best fid was 40 at step 30,000, the last is 90 (failed is from 60 on)." in said
    assert "stop, and use the weights of step 30000" in said


def test_the_report_says_where_the_best_weights_are() -> None:
    log = log_of({**WON, **FID})
    kept = {"checkpoints/kimg000020.000.pt": 20_000.0, "checkpoints/kimg000100.000.pt": 100_000.0}

    def said(weights: dict[str, float]) -> str:
        known = replace(log, weights=weights)
        return " ".join(report.text(diagnose(known), known, "mine").split())

    assert "The best weights measured are in best/, of step 30,000." in said({**kept, "best": 30_000.0})
    assert "The newest weights that are kept from then are checkpoints/kimg000020.000.pt." in said(kept)
    assert "No weights from then are kept" in said({"checkpoints/kimg000100.000.pt": 100_000.0})
    assert "in best/" not in said({}) and "are kept" not in said({})


def test_a_loss_that_is_missing_is_told() -> None:
    log = log_of({"loss D": EVEN["loss D"]})
    assert "which player is ahead, and much else: no loss G" in report.text(diagnose(log), log, "mine")


def test_the_curves_show_what_there_is(tmp_path: Path) -> None:
    sizes = []
    for log in (log_of(WON), log_of({**WON, **FID}), log_of({"loss D": WON["loss D"]})):
        save_curves(diagnose(log), log, tmp_path / "curves.png")
        with Image.open(tmp_path / "curves.png") as picture:
            sizes.append(picture.height)
    assert sizes[0] == sizes[2] < sizes[1]
    nothing = log_of({name: np.full(40, np.nan) for name in WON})
    save_curves(diagnose(nothing), nothing, tmp_path / "nothing.png")
    assert (tmp_path / "nothing.png").exists()


@pytest.mark.parametrize("argv", [["no/such.csv"], [], ["a.csv", "b.csv"]])
def test_the_users_errors(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", *argv]) == 2
    assert capsys.readouterr().err.count("\n") == 1


BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ImportError(name)

sys.meta_path.insert(0, Blocker())
from gannet.cli import main
"""


def test_no_torch_is_needed(tmp_path: Path) -> None:
    code = BLOCKED + f"sys.exit(main(['diagnose', {str(csv(tmp_path, WON))!r}, '--out', {str(tmp_path)!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
