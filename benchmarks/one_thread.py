"""Processes of one thread, so that trainings side by side do not take each other's cores."""

import os
import subprocess
import sys


def run(words: list[str]) -> str:
    """What python printed for these words; its error ends the script."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr[-2000:]}")
    return done.stdout


def train(words: list[str]) -> None:
    """`gannet train`, on the CPU."""
    run(["-m", "gannet", "train", *words, "--device", "cpu"])
