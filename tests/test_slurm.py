"""The batch file of the docs, under stand-ins for Slurm's own commands."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Pictures = Callable[..., Path]
SCRIPT = Path(__file__).parents[1] / "docs" / "slurm.sh"
COMMANDS = {
    # As the real one, it kills the step for a TERM of its own; scancel reaches the processes of the step.
    "srun": """setsid "$@" & echo $! > "$STEP"; trap 'kill -9 -$(cat "$STEP")' TERM; wait $!""",
    "scancel": '[ "$1 $2" = "--signal=TERM 7" ] && kill -TERM -$(cat "$STEP")',
    "torchrun": f'exec "{sys.executable}" -m torch.distributed.run "$@"',
    "scontrol": 'if [ "$1" = show ]; then echo localhost; else echo "$@" >> "$REQUEUED"; fi',
}


@pytest.mark.skipif(sys.platform == "win32", reason="Slurm runs on Linux")
def test_a_job_that_runs_out_of_time_goes_back_to_the_queue_and_on(pictures: Pictures, tmp_path: Path) -> None:
    for name, text in COMMANDS.items():
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f"#!/bin/sh\n{text}\n")
        command.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "REQUEUED": str(tmp_path / "requeued"),
        "STEP": str(tmp_path / "step"),
        "PORT": port,
        "SLURM_NNODES": "1",
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "n1",
        "RANKS_PER_NODE": "2",
        "SLURM_TMPDIR": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }
    run = tmp_path / "run"
    settings = (
        "--resolution 16 --batch 4 --G.width 4 --D.width 4 --device cpu --train.precision float32 --samples.num 4"
    )
    words = ["bash", str(SCRIPT), str(pictures()), str(run), "--recipe", "dcgan-shapes", *settings.split()]

    def submit(kimg: str) -> "subprocess.Popen[str]":
        command = [*words, "--kimg", kimg]
        return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    job = submit("2")
    stats = run / "stats.jsonl"
    while job.poll() is None and not (stats.exists() and stats.stat().st_size):
        time.sleep(0.05)
    job.send_signal(signal.SIGUSR1)
    said, _ = job.communicate(timeout=120)
    assert job.returncode == 0 and "all saved" in said, said
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"
    job = submit("2")
    said, _ = job.communicate(timeout=300)
    assert job.returncode == 0 and "goes on at" in said and "try next" in said, said
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"
    assert (tmp_path / "gannet").is_dir() and not (tmp_path / "cache").exists()
