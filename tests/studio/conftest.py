"""Run folders written by hand, one that was trained, and a client that asks the studio over them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from runs import TINY, train
from studios import PORT, Ask, Runs, written

from gannet.config import overridden, to_toml
from gannet.images import grid, png
from gannet.recipes import recipe
from gannet.studio.server import studio
from gannet.training.build import completed


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """Writes a run below tmp_path/runs: its recipe, its lines, and grids of noise at these kimg."""

    def write(
        name: str = "one",
        lines: Sequence[Mapping[str, Any]] = (),
        grids: Sequence[float] = (),
        facts: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Path:
        run = tmp_path / "runs" / name
        (run / "samples").mkdir(parents=True)
        asked = {"train.length": "10 kimg", "data.resolution": 16, "data.source": "shapes"}
        made = completed(overridden(recipe("dcgan-shapes"), {**asked, **settings}))
        about = {"gannet": "0.1.0", "channels": 3, "classes": [], **(facts or {})}
        (run / "recipe.toml").write_text(to_toml(made, about), "utf-8")
        (run / "stats.jsonl").write_text(written(lines), "utf-8")
        random = np.random.Generator(np.random.Philox(1))
        for kimg in grids:
            images = random.integers(0, 256, (4, 3, 16, 16), np.uint8)
            (run / "samples" / f"kimg{kimg:010.3f}.png").write_bytes(png(grid(images)))
        return run

    return write


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """A client of a studio over tmp_path/runs, or over another folder."""

    def make(folder: Path | None = None, **options: Any) -> TestClient:
        options.setdefault("data", [tmp_path / "images"])
        app = studio(folder or tmp_path / "runs", port=PORT, **options)
        return TestClient(app, f"http://127.0.0.1:{PORT}", raise_server_exceptions=False, follow_redirects=False)

    return make


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small run on drawn circles and squares, by label."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANNET_CACHE", str(folder / "cache"))
        train(Path("shapes-labelled"), folder / "runs" / "small", {**TINY, "data.labels": True, "D.norm": "spectral"})
    return folder / "runs"
