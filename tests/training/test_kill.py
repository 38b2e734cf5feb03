"""Runs as processes that are killed at random moments, gone on with, and compared with one that never was."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import contents

Pictures = Callable[..., Path]
ITERATIONS_PER_KILL = 120
SETTINGS = {
    "--resolution": "16",
    "--batch": "4",
    "--train.precision": "float32",
    "--device": "cpu",
    "--seed": "3",
    "--G.width": "4",
    "--G.z-dim": "5",
    "--D.width": "4",
    "--D.dropout": "0.3",
    "--data.jitter": "0.1",
    "--ema.half-life-kimg": "0.02",
    "--stats.every": "3",
    "--samples.num": "4",
    "--samples.when": "every 60 iterations",
    "--checkpoints.when": "every 7 iterations",
}


def gannet(*words: str | Path, **environment: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-m", "gannet", *map(str, words)]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def ended(process: "subprocess.Popen[str]") -> str:
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    return said


def two_ranks(*words: str | Path) -> "list[subprocess.Popen[str]]":
    """As torchrun starts them, but each under our own hand."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    return [gannet(*words, **place, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(2)]


def wait_for_a_line(process: "subprocess.Popen[str]", run: Path) -> None:
    size = -1
    while process.poll() is None:
        now = (run / "stats.jsonl").stat().st_size if (run / "stats.jsonl").exists() else 0
        if now > size >= 0:
            return
        size = now
        time.sleep(0.005)


def kill_once(process: "subprocess.Popen[str]", run: Path, moment: float) -> bool:
    """Kills the process some seconds after its first line; False where it came to its end before that."""
    wait_for_a_line(process, run)
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def survive(num_kills: int, data: Path, folder: Path) -> int:
    """Kills a run that often, and resumes it; asserts that it ends as one that was left alone. Returns the kills."""
    chance = random.Random(num_kills)
    length = ["--kimg", str(num_kills * ITERATIONS_PER_KILL * 4 / 1000)]
    settings = [word for pair in SETTINGS.items() for word in pair] + length
    words = [data, "--recipe", "dcgan-shapes", *settings]
    ended(gannet("train", *words, "--run", folder / "whole"))
    parts = folder / "parts"
    process = gannet("train", *words, "--run", parts, "--if-exists", "resume")
    kills = 0
    while kills < num_kills and kill_once(process, parts, chance.uniform(0, 0.5)):
        kills += 1
        process = gannet("train", *words, "--run", parts, "--if-exists", "resume")
    ended(process)
    expected, found = contents(folder / "whole"), contents(parts)
    for what in ("state", "lines", "files"):
        assert found[what] == expected[what], what
    assert not list(parts.rglob(".*"))
    return kills


def test_a_run_survives_two_kills(pictures: Pictures, tmp_path: Path) -> None:
    assert survive(2, pictures(num=24), tmp_path) == 2


@pytest.mark.slow
def test_a_run_survives_twenty_kills(pictures: Pictures, tmp_path: Path) -> None:
    print(f"survived {survive(20, pictures(num=24), tmp_path)} kills")


def test_two_ranks_stop_together_and_one_that_died_is_not_waited_for(pictures: Pictures, tmp_path: Path) -> None:
    settings = [word for pair in SETTINGS.items() for word in pair] + ["--kimg", "1"]
    words = ["train", pictures(num=24), "--recipe", "dcgan-shapes", *settings]
    for process in two_ranks(*words, "--run", tmp_path / "whole"):
        ended(process)
    parts = tmp_path / "parts"
    ranks = two_ranks(*words, "--run", parts)
    wait_for_a_line(ranks[0], parts)
    ranks[1].send_signal(signal.SIGUSR1)
    said = [process.communicate(timeout=60)[0] for process in ranks]
    assert [process.returncode for process in ranks] == [4, 4], said
    assert "all saved" in said[0] and said[1] == ""
    ranks = two_ranks("resume", parts)
    wait_for_a_line(ranks[0], parts)
    ranks[1].kill()
    said = [process.communicate(timeout=60)[0] for process in ranks]
    assert ranks[0].returncode == 1 and said[0].splitlines()[-1].startswith("gannet: another rank died"), said
    for process in two_ranks("resume", parts):
        ended(process)
    expected, found = contents(tmp_path / "whole"), contents(parts)
    for what in ("state", "lines", "files"):
        assert found[what] == expected[what], what


def test_the_other_rank_waits_while_the_first_measures(pictures: Pictures, tmp_path: Path) -> None:
    settings = [word for pair in SETTINGS.items() for word in pair]
    settings += ["--train.evaluate-every", "0.032", "--train.evaluate-num", "8"]
    words = [pictures(num=24), "--recipe", "dcgan-shapes", *settings, "--train.extractor", "efficientnet-lite0"]
    for process in two_ranks("train", *words, "--kimg", "0.048", "--run", tmp_path / "run"):
        ended(process)
    lines = contents(tmp_path / "run")["lines"]
    assert [line["kimg"] for line in lines if line["type"] == "metric"] == [0.032, 0.048]
    assert (tmp_path / "run" / "best" / "generator" / "model.safetensors").exists()
