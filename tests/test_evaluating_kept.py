"""What `gannet evaluate` keeps of its looks at the reals, and when it does not take it up again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from measured import Counting, evaluate, noise, save

from gannet.evaluating import reals
from gannet.evaluating.reals import Seen, look_once


def test_what_was_seen_of_reals_is_kept_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reals, "SOME", 20)
    images, extract = noise(1, 60), Counting()

    def once(keep: bool = True, of: str = "it", cache: Path | None = tmp_path) -> Seen:
        return look_once(images, np.arange(60), extract, facts={"data": of}, cache=cache, keep=keep)

    first, again = once(), once()
    assert extract.num == 60 and torch.equal(first.features, again.features)
    once(of="another", cache=tmp_path / "more")
    once(cache=None)
    assert extract.num == 180
    (kept,) = tmp_path.glob("features-*")
    data = bytearray(kept.read_bytes())
    data[-1] ^= 1
    kept.write_bytes(data)
    assert torch.equal(once().features, first.features) and extract.num == 240


def test_kept_gaussians_do_not_pass_for_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reals, "SOME", 20)
    images, extract = noise(1, 60), Counting()

    def once(keep: bool) -> Seen:
        return look_once(images, np.arange(60), extract, facts={}, cache=tmp_path, keep=keep)

    streamed = once(keep=False)
    assert torch.equal(once(keep=False).gaussian.scatter, streamed.gaussian.scatter) and extract.num == 60
    whole = once(keep=True)
    assert whole.is_whole and extract.num == 120
    torch.testing.assert_close(once(keep=False).gaussian.scatter, streamed.gaussian.scatter)
    assert extract.num == 120


def test_nothing_is_kept_of_code_whose_weights_may_change(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module's file stays as it is; what it loads does not."""
    (tmp_path / "loading_eyes.py").write_text(
        "from pathlib import Path\n\n\ndef look(x):\n"
        "    scale = float(Path(__file__).with_name('scale.txt').read_text())\n"
        "    return x.float().mean((2, 3)) * scale\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    one, other = save(tmp_path / "one", noise(1, 20)), save(tmp_path / "other", noise(1, 20))
    found = []
    for scale in "12":
        (tmp_path / "scale.txt").write_text(scale)
        asked: dict[str, Any] = {"extractor": "loading_eyes:look", "metrics": ["frechet"], "allow_code": True}
        found.append(evaluate(one, other, force=True, **asked).scores[0])
    assert [score.value for score in found] == pytest.approx([0, 0], abs=1e-6)
    assert not list(cache.glob("images/*/features-*"))
    weights = found[0].protocol["weights"]
    assert str(weights).startswith("code ") and str(weights).endswith(", and what it loads")
