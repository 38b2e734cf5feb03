import io
import json
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gannet.errors import UserError
from gannet.track import track

KID = {"type": "metric", "kimg": 1.0, "metric": "KID", "value": 0.5, "low": 0.25, "high": 0.75, "better": "lower"}


def write(run: Path, *lines: dict[str, Any]) -> None:
    run.mkdir(exist_ok=True)
    with (run / "stats.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def stats(kimg: float, loss: float | None) -> dict[str, Any]:
    return {"type": "stats", "kimg": kimg, "iteration": 3, "loss D": loss, "D(G(z))": 0.25}


def snapshot(run: Path, kimg: float) -> Any:
    grid = run / "samples.png"
    Image.fromarray(np.arange(24, dtype=np.uint8).reshape(2, 4, 3)).save(grid)
    return SimpleNamespace(cur_nimg=round(kimg * 1000), grid=grid)


def read_back(run: Path) -> EventAccumulator:
    found = EventAccumulator(str(run / "tensorboard"))
    found.Reload()
    return found


def points(found: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in found.Scalars(tag)]


def test_tensorboard_holds_numbers_events_and_grids_at_images_seen(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write(run)
    tracker = track("tensorboard", run)
    write(run, {"type": "event", "kimg": 0.0, "event": "resumed", "differs": "torch"}, stats(0.5, 1.5))
    tracker.on_stats({})
    tracker.on_tick(snapshot(run, 0.5))
    write(run, stats(1.0, None), KID)
    tracker.close()

    found = read_back(run)
    assert set(found.scalars.Keys()) == {"loss D", "D(G(z))", "iteration", "KID", "KID low", "KID high"}
    assert points(found, "loss D") == [(500, 1.5)]  # null, which was not finite, is left out
    assert points(found, "D(G(z))") == [(500, 0.25), (1000, 0.25)]
    assert [points(found, name) for name in ("KID", "KID low", "KID high")] == [[(1000, v)] for v in (0.5, 0.25, 0.75)]
    (event,) = found.Tensors("event")
    assert b"resumed" in event.tensor_proto.string_val[0] and b"torch" in event.tensor_proto.string_val[0]
    (picture,) = found.Images("samples")
    assert (picture.step, picture.width, picture.height) == (500, 4, 2)
    pixels = np.asarray(Image.open(io.BytesIO(picture.encoded_image_string)))
    assert pixels.ravel().tolist() == list(range(24))


def test_a_resumed_run_takes_back_what_lies_after_its_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write(run, stats(1.0, 1.0), stats(2.0, 2.0))
    tracker = track("tensorboard", run)
    write(run, stats(3.0, 3.0))
    tracker.close()
    (run / "stats.jsonl").write_text("", "utf-8")
    write(run, stats(1.0, 1.0), stats(2.0, 2.0), {"type": "event", "kimg": 2.0, "event": "resumed"})
    tracker = track("tensorboard", run)
    write(run, stats(2.5, 2.5))
    tracker.on_stats({})
    tracker.close()
    found = read_back(run)
    assert points(found, "loss D") == [(1000, 1.0), (2000, 2.0), (2500, 2.5)]
    assert [event.step for event in found.Tensors("event")] == [2000]


def test_a_run_that_returns_to_a_checkpoint_takes_back_the_rest(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write(run, stats(1.0, 1.0), stats(2.0, 9.0), {"type": "event", "kimg": 1.0, "event": "diverged"}, stats(1.5, 1.5))
    tracker = track("tensorboard", run)
    tracker.close()
    assert points(read_back(run), "loss D") == [(1000, 1.0), (1500, 1.5)]


def test_a_line_that_is_not_yet_whole_waits(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    tracker = track("tensorboard", run)
    text = json.dumps(stats(1.0, 1.0)) + "\n"
    for part in (text[:20], text[20:]):
        with (run / "stats.jsonl").open("a", encoding="utf-8") as file:
            file.write(part)
        tracker.on_stats({})
    tracker.close()
    assert points(read_back(run), "loss D") == [(1000, 1.0)]


def test_tensorboard_names_neither_host_nor_path(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write(run, stats(1.0, 1.0))
    tracker = track("tensorboard", run)
    tracker.on_tick(snapshot(run, 1.0))
    tracker.close()
    (file,) = (run / "tensorboard").iterdir()
    assert file.name.startswith("events.out.tfevents.")
    assert f".{socket.gethostname()}." not in file.name
    assert str(tmp_path).encode() not in file.read_bytes()


@pytest.fixture
def wandb() -> Any:
    return pytest.importorskip("wandb", reason="wandb is not installed: pip install wandb")


def test_wandb_offline_keeps_its_id(wandb: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in [("MODE", "offline"), ("SILENT", "true"), ("CACHE_DIR", tmp_path), ("CONFIG_DIR", tmp_path)]:
        monkeypatch.setenv(f"WANDB_{name}", str(value))
    run = tmp_path / "run"
    write(run, stats(0.5, 1.5), {"type": "event", "kimg": 0.5, "event": "resumed"})
    logged: list[dict[str, Any]] = []
    log = wandb.Run.log

    def heard(self: Any, data: dict[str, Any]) -> None:
        logged.append(data)
        log(self, data)

    monkeypatch.setattr(wandb.Run, "log", heard)
    for kimg in (1.0, 2.0):
        tracker = track("wandb", run)
        write(run, stats(kimg, kimg))
        tracker.on_stats({})
        tracker.on_tick(snapshot(run, kimg))
        tracker.close()
    name = (run / "wandb" / "id.txt").read_text("utf-8")
    assert list((run / "wandb").glob(f"offline-run-*-{name}/run-{name}.wandb"))
    assert {folder.name.rpartition("-")[2] for folder in (run / "wandb").glob("offline-run-*")} == {name}
    assert [(line["kimg"], line.get("loss D")) for line in logged] == [
        *[(0.5, 1.5), (0.5, None), (1.0, 1.0), (1.0, None)],
        *[(2.0, 2.0), (2.0, None)],
    ]
    assert "resumed" in logged[1]["event"]
    assert isinstance(logged[3]["samples"], wandb.Image)


def test_wandb_that_does_not_let_in_is_one_line(wandb: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise wandb.errors.UsageError("api_key not configured\n(no-tty)")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(UserError, match=r"wandb: api_key not configured \(no-tty\); log in .* WANDB_MODE=offline"):
        track("wandb", tmp_path)


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "tensorboard.compat.proto"), ("wandb", "wandb")])
def test_without_the_package_one_line_says_what_to_install(
    name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"--track {name} needs .* pip install 'gannet-gan\[track\]'"):
        track(name, tmp_path)


def test_another_name_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no tracker 'tensorbord'; did you mean 'tensorboard'"):
        track("tensorbord", tmp_path)
