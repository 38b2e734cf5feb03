"""Other people's logs, and Gannet's own, read into series by name."""

import codecs
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

from gannet.diagnosis import Log, columns, diagnose, open_log
from gannet.diagnosis.columns import meaning
from gannet.diagnosis.logs import MANY
from gannet.errors import UserError

ROWS = [(100 * i, 1 / i, 2.0 * i, 300 / i if i % 5 == 0 else None) for i in range(1, 41)]


def csv(path: Path, head: str = "step,d_loss,g_loss,fid", rows: Any = ROWS, between: str = ",") -> Log:
    cells = [between.join("" if cell is None else f"{cell}" for cell in row) for row in rows]
    path.write_text("\n".join([head.replace(",", between), *cells, ""]), "utf-8")
    return open_log(path)


def test_a_table(tmp_path: Path) -> None:
    log = csv(tmp_path / "log.csv")
    assert list(log.series) == ["loss D", "loss G", "fid"] and log.unit == "step"
    assert log.series["loss D"].at.tolist() == [100.0 * i for i in range(1, 41)]
    assert log.series["loss D"].values == pytest.approx([1 / i for i in range(1, 41)])
    assert log.series["fid"].at.tolist() == [500.0 * i for i in range(1, 9)]
    assert log.series["fid"].values == pytest.approx([300 / (5 * i) for i in range(1, 9)])


@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_other_forms_of_the_same_table(tmp_path: Path, between: str) -> None:
    plain = csv(tmp_path / "a.csv")
    quoted = [(f'"{row[0]}"', *row[1:]) for row in ROWS]
    for i, rows in enumerate([ROWS, quoted, [(*row, "a note") for row in ROWS]]):
        head = "Step,D_loss,errG,FID" + (",note" if i == 2 else "")
        log = csv(tmp_path / "b.csv", head, rows, between)
        for name, series in plain.series.items():
            assert log.series[name].at.tolist() == series.at.tolist()
            assert log.series[name].values.tolist() == series.values.tolist()
    windows = (tmp_path / "a.csv").read_bytes().replace(b"\n", b"\r\n")
    (tmp_path / "c.csv").write_bytes(b"\xef\xbb\xbf" + windows)
    assert open_log(tmp_path / "c.csv").series["fid"].values.tolist() == plain.series["fid"].values.tolist()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_other_encodings_of_the_same_log(tmp_path: Path, encoding: str, name: str) -> None:
    plain = csv(tmp_path / "a.csv")
    if name == "a.jsonl":
        jsonl(tmp_path / name, [dict(zip(("step", "d_loss", "g_loss", "fid"), row, strict=True)) for row in ROWS])
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}.get(encoding, b"")
    (tmp_path / name).write_bytes(mark + (tmp_path / name).read_text("utf-8").encode(encoding))
    for what, series in plain.series.items():
        assert open_log(tmp_path / name).series[what].values.tolist() == series.values.tolist()


def test_a_comma_in_place_of_the_point(tmp_path: Path) -> None:
    plain = csv(tmp_path / "a.csv")
    rows = [[None if cell is None else f"{cell}".replace(".", ",") for cell in row] for row in ROWS]
    log = csv(tmp_path / "b.csv", rows=rows, between=";")
    assert log.series["loss D"].values.tolist() == plain.series["loss D"].values.tolist()


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("form", ["list", "lists", "inside", "lists beside"])
def test_json_that_is_no_lines(tmp_path: Path, form: str, indent: int | None) -> None:
    lines = [{"step": i, "d_loss": 1 / i, "g_loss": "NaN" if i == 9 else f"{2 * i}"} for i in range(1, 41)]
    by_name: dict[str, Any] = {name: [line[name] for line in lines] for name in lines[0]}
    whole = {"list": lines, "lists": by_name, "inside": {"history": lines}, "lists beside": {"name": "a", **by_name}}
    (tmp_path / "log.json").write_text(json.dumps(whole[form], indent=indent), "utf-8")
    log = open_log(tmp_path / "log.json")
    assert log.series["loss D"].values == pytest.approx([1 / i for i in range(1, 41)])
    assert log.series["loss G"].broken.tolist() == [9] and len(log.series["loss G"]) == 39


def test_lines_of_json_may_hold_lists(tmp_path: Path) -> None:
    lines = [{"step": i, "d_loss": 1.0, "g_loss": 2.0, "lr": [0.1, 0.2]} for i in range(40)]
    assert len(open_log(jsonl(tmp_path / "log.jsonl", lines)).series["loss G"]) == 40


def test_a_log_of_nothing_but_nan_is_a_log_however_short(tmp_path: Path) -> None:
    log = csv(tmp_path / "log.csv", "step,d_loss,g_loss", [(i, "nan", "-inf") for i in range(5)])
    assert diagnose(log).verdict == "failed"
    with pytest.raises(UserError, match="has 5 lines"):  # an FID that nobody has measured says nothing
        csv(tmp_path / "log.csv", "step,d_loss,g_loss,fid", [(i, 0.5, 1.0, "nan") for i in range(5)])


def test_without_its_package_tensorboard_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing.event_file_loader", None)
    (tmp_path / "events.out.tfevents.1").write_bytes(b"")
    with pytest.raises(UserError, match="pip install 'gannet-gan") as caught:
        open_log(tmp_path)
    assert "\n" not in str(caught.value)


def test_where_a_run_keeps_its_weights(tmp_path: Path) -> None:
    folder = run(tmp_path / "run")
    for name in ("best/metric.json", "checkpoints/kimg000010.000.pt", "checkpoints/kimg000020.000.pt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text('{"kimg": 15.0, "value": 1.0}', "utf-8")
    kept = {"best": 15.0, "checkpoints/kimg000010.000.pt": 10.0, "checkpoints/kimg000020.000.pt": 20.0}
    assert open_log(folder).weights == kept
    (folder / "best" / "metric.json").write_text("what a crash has left", "utf-8")
    assert "best" not in open_log(folder).weights


def test_an_empty_cell_is_not_a_value_that_is_no_number(tmp_path: Path) -> None:
    rows = [
        (i, 1.0, None if i == 3 else float("nan") if i == 5 else float("inf") if i == 6 else 2.0) for i in range(40)
    ]
    for note in ([], ["x"]):
        log = csv(tmp_path / "log.csv", "step,d_loss,g_loss" + ",note" * len(note), [(*row, *note) for row in rows])
        assert log.series["loss G"].broken.tolist() == [5, 6]
        assert 3 not in log.series["loss G"].at and len(log.series["loss G"]) == 37


@pytest.mark.parametrize(
    ("name", "what"),
    [
        *[(n, "loss D") for n in ("d_loss", "Loss_D", "loss D", "errD", "Loss/D", "train/d_loss", "Loss/D/loss")],
        *[(n, "loss D") for n in ("discriminator_loss", "critic_loss", "dis_loss", "losses/loss_d")],
        *[(n, "loss G") for n in ("g_loss", "lossG", "generator_loss", "gen_loss", "errG", "Loss/G/loss")],
        *[(n, "fid") for n in ("fid", "FID", "fid50k_full", "metrics/fid50k", "FID_score", "eval/fid")],
        *[("d_real", "real"), ("D(x)", "real"), ("D(G(z))", "fake"), ("d_fake", "fake"), ("Loss/scores/real", "real")],
        *[("d_acc", "accuracy"), ("D_accuracy", "accuracy"), ("accuracy fake", "accuracy fake"), ("lr", None)],
    ],
)
def test_names(name: str, what: str | None) -> None:
    assert meaning(name) == what


def test_ratings_are_probabilities_or_logits(tmp_path: Path) -> None:
    rows = [(i, 1 + i % 2, 1.0, 0.9, 0.1, 97.0) for i in range(40)]
    head = "step,d_loss,g_loss,d_real,d_fake,d_acc"
    log = csv(tmp_path / "log.csv", head, rows)
    assert {"D(x)", "D(G(z))"} <= set(log.series) and log.series["accuracy"].values[0] == 0.97
    log = csv(tmp_path / "log.csv", head, [(*row[:4], -2.0, 0.97) for row in rows])
    assert {"logit real", "logit fake"} <= set(log.series) and log.series["accuracy"].values[0] == 0.97
    log = csv(tmp_path / "log.csv", head, [(i, 0.7 + i, 1.0, 0.4 + i, 0.3, 0.97) for i in range(40)])
    assert set(log.series) == {"loss D", "loss G", "accuracy"}  # D's losses on reals and fakes are no ratings


def test_lines_written_anew_by_a_resumed_run_count_once(tmp_path: Path) -> None:
    rows = [(i, 1.0, 1.0) for i in range(60)] + [(i, 2.0, 2.0) for i in range(40, 90)]
    series = csv(tmp_path / "log.csv", "step,d_loss,g_loss", rows).series["loss D"]
    assert series.at.tolist() == list(range(90))
    assert series.values.tolist() == [1.0] * 40 + [2.0] * 50


def test_a_clock_that_does_not_tell_the_lines_apart_is_not_used(tmp_path: Path) -> None:
    rows = [(i // 20, i % 20, 1.0, 1.0) for i in range(80)]  # each epoch begins at batch 0
    log = csv(tmp_path / "log.csv", "epoch,batch,d_loss,g_loss", rows)
    assert log.unit == "line" and log.series["loss D"].at.tolist() == list(range(1, 81))


def jsonl(path: Path, lines: Any) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def test_lines_of_json(tmp_path: Path) -> None:
    lines = [
        {"step": i, "d_loss": 1 / i, "loss": {"g": 2.0}, "fid": 9.0 if i % 10 == 0 else None} for i in range(1, 41)
    ]
    path = jsonl(tmp_path / "log.jsonl", lines)
    cut = '{"step": 41, "d_lo'  # what a crash has left
    path.write_text(f"{cut}\n{path.read_text('utf-8')}{cut}", "utf-8")
    log = open_log(path)
    assert {name: len(series) for name, series in log.series.items()} == {"loss D": 40, "loss G": 40, "fid": 4}
    assert len(log.series["fid"].broken) == 0
    means = [
        {"Progress/kimg": {"mean": i / 4}, "Loss/D/loss": {"mean": 0.5}, "Loss/G/loss": {"mean": 1.0}}
        for i in range(40)
    ]
    log = open_log(jsonl(tmp_path / "stylegan.jsonl", means))
    assert log.unit == "kimg" and log.series["loss D"].at[-1] == 9.75


def run(folder: Path) -> Path:
    """A run folder with what a run writes."""
    lines: list[dict[str, Any]] = []
    for i in range(1, 41):
        line = {"type": "stats", "kimg": i / 2, "iteration": i, "seconds": 1.0, "loss D": 1.0, "D(x)": 0.7}
        lines.append({**line, "loss G": None if i == 30 else 2.0, "logit real": 0.5})
        if i % 10 == 0:
            metric = {"type": "metric", "kimg": i / 2, "low": 0.0, "high": 9.0, "seconds": 3.0}
            lines.append({**metric, "metric": "FID", "value": 100.0 / i, "better": "lower"})
            lines.append({**metric, "metric": "precision", "value": 0.5, "better": "higher"})
            lines.append({**metric, "metric": "recall (inception)", "value": 0.25, "better": "higher"})
            lines.append({"type": "event", "kimg": i / 2, "event": "diverged", "learning_rates": {"G": 1e-4}})
    folder.mkdir()
    jsonl(folder / "stats.jsonl", lines)
    settings = '[train]\nlength = "50 kimg"\n[optim.D]\nlr = 4e-4\n[penalties.r1]\ngamma = 0.5\n'
    (folder / "recipe.toml").write_text(settings, "utf-8")
    return folder


@pytest.mark.parametrize(
    ("metric", "known"),
    [("FID", "fid"), ("KID", "kid"), ("KID (efficientnet-lite0)", "kid"), ("FD-DINOv2", "distance")],
)
def test_the_kinds_of_metrics(metric: str, known: str) -> None:
    assert columns.metric(metric) == known


@pytest.mark.parametrize("named", ["", "stats.jsonl"])
def test_a_run(tmp_path: Path, named: str) -> None:
    log = open_log(run(tmp_path / "run") / named)
    assert set(log.series) == {"loss D", "loss G", "D(x)", "logit real", "fid", "recall"}
    assert (log.unit, log.length, log.end) == ("kimg", 50.0, 20.0)
    assert log.series["loss G"].broken.tolist() == [15.0] and len(log.series["loss G"]) == 39
    assert log.series["fid"].at.tolist() == [5, 10, 15, 20]
    assert log.series["recall"].values.tolist() == [0.25] * 4
    assert log.settings["optim.D.lr"] == 4e-4 and log.settings["penalties.r1.gamma"] == 0.5


def test_what_autopilot_has_taken_back_counts_no_more(tmp_path: Path) -> None:
    """The run ends where it has gone back to: no later line says so."""
    folder = run(tmp_path / "run")
    with (folder / "stats.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"type": "event", "kimg": 15.0, "event": "autopilot", "settings": {}}) + "\n")
    log = open_log(folder)
    assert log.end == 15 and log.series["fid"].at.tolist() == [5, 10, 15] and log.series["D(x)"].at[-1] == 15


def extended(length: Any) -> str:
    event = {"type": "event", "kimg": 1, "event": "extended", "settings": {"train": {"length": length}}}
    return json.dumps(event) + "\n"


@pytest.mark.parametrize(
    ("length", "kimg"), [("80 kimg", 80), ("1e2 kimg", 100), ("inf kimg", 0), ("long", 0), (None, 0)]
)
def test_a_run_is_as_long_as_it_was_made_last(tmp_path: Path, length: Any, kimg: float) -> None:
    made = run(tmp_path / "run")
    before = (made / "stats.jsonl").read_text("utf-8")
    damaged = '{"type": "event", "event": "extended", "settings": 3}\n{"event": "extended", "sett'
    (made / "stats.jsonl").write_text(extended("60 kimg") + before + extended(length) + damaged, "utf-8")
    log = open_log(made)
    assert (log.length, log.settings["train.length"]) == (kimg, length)


def test_a_run_without_its_recipe(tmp_path: Path) -> None:
    (run(tmp_path / "run") / "recipe.toml").write_text("no = toml = this", "utf-8")
    assert open_log(tmp_path / "run").settings == {}


def test_events_of_tensorboard(tmp_path: Path) -> None:
    event, summary = vars(event_pb2)["Event"], vars(summary_pb2)["Summary"]
    with (tmp_path / "events.out.tfevents.1.host").open("wb") as file:
        writer = RecordWriter(file)
        for step in range(40):
            values = [summary.Value(tag="Loss/D", simple_value=1.5), summary.Value(tag="Loss/G", simple_value=step)]
            writer.write(event(wall_time=1.0, step=step, summary=summary(value=values)).SerializeToString())
    for path in (tmp_path, tmp_path / "events.out.tfevents.1.host"):
        log = open_log(path)
        assert log.series["loss D"].values.tolist() == [1.5] * 40
        assert log.series["loss G"].values.tolist() == log.series["loss G"].at.tolist() == list(range(40))


def test_of_many_lines_the_rare_ones_are_read(tmp_path: Path) -> None:
    num = 3 * MANY
    lines = [f'{{"step": {i}, "d_loss": 0.5, "g_loss": 1.5}}' for i in range(num)]
    lines[777] = '{"step": 777, "d_loss": 0.5, "g_loss": NaN}'
    for i in range(1000, num, num // 20):
        lines[i] = f'{{"step": {i}, "d_loss": 0.5, "g_loss": 1.5, "fid": {i}}}'
    (tmp_path / "log.jsonl").write_text("\n".join(lines), "utf-8")
    log = open_log(tmp_path / "log.jsonl")
    assert MANY <= len(log.series["loss D"]) <= MANY + 100 and log.end > 0.999 * num
    assert log.series["fid"].values.tolist() == log.series["fid"].at.tolist() == list(range(1000, num, num // 20))
    assert log.series["loss G"].broken.tolist() == [777]


def test_a_large_table_is_quick(tmp_path: Path) -> None:
    num = 100_000
    rows = [(i, 0.5, 1.5, None) for i in range(num)]
    start = time.process_time()
    assert len(csv(tmp_path / "log.csv", rows=rows).series["loss D"]) == num
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("none.csv", None, "there is no run or log at"),
        ("empty.csv", "", "is empty"),
        ("text.csv", "once upon a time\n", "has no table in it"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n\xff\xfe,\n", "is not a table of text"),
        ("other.csv", "step,height,weight\n" + "1,2,3\n" * 40, "has no losses that are known"),
        ("short.csv", "step,d_loss,g_loss\n" + "".join(f"{i},2,3\n" for i in range(10)), "has 10 lines"),
        ("cut.json", '[{"step": 1, "d_loss": 1}, {"st', "is not whole as JSON"),
        ("deep.json", '[{"step": ' + "[" * 200_000, "is not whole as JSON"),
        ("strange.jsonl", '{"event": "autopilot"}\n', "has no losses that are known"),
        ("half.csv", b"\xff\xfes\x00t\x00e", "is not the utf-16 text"),
        ("short.jsonl", '{"step": 1, "d_loss": 1}\n', "has 1 lines"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(
    tmp_path: Path, name: str, text: str | bytes | None, says: str
) -> None:
    if text is not None:
        (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UserError, match=says) as caught:
        open_log(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_few_evaluations_are_a_log_too(tmp_path: Path) -> None:
    log = csv(tmp_path / "log.csv", "step,fid", [(i, fid) for i, fid in enumerate([90, 50, 30, 40, 60, 61])])
    assert [(f.finding, f.sign.since) for f in diagnose(log).findings] == [("past-best", 2)]


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no run"):
        open_log(tmp_path)
    (tmp_path / "stats.jsonl").write_text("", "utf-8")
    with pytest.raises(UserError, match="no statistics yet"):
        open_log(tmp_path)
