"""What runs survive: kills, ranks, bad input, and memory. Prints the table of docs/reliability.md.

    uv run python benchmarks/reliability.py            # about ten minutes on two cores

Each row runs tests of the suite, the slow ones too, or a benchmark, and reports what it printed.
"""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def tested(*words: str) -> str:
    """What pytest says of the tests, slow ones included. Ends this script where one fails."""
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-n", "0", "-m", "slow or not slow", *words]
    return run(command)


def run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=HERE.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}")
    return done.stdout


def passed(output: str) -> str:
    """`17 passed in 12.3s`, without the seconds."""
    return re.findall(r"\d+ passed", output)[-1]


def row(what: str, found: str) -> None:
    print(f"| {what} | {found} |", flush=True)


def main() -> None:
    print("| what | found |\n|---|---|", flush=True)
    kills = tested("tests/training/test_kill.py", "-k", "twenty")
    row(
        "`kill -9` at random moments of a run, resumed each time: weights, average, optimizers and stats.jsonl"
        " (times aside) byte for byte those of a run that was left alone",
        re.findall(r"survived \d+ kills", kills)[-1],
    )
    row(
        "two ranks: a signal to one stops both at the same step; one is killed and the other ends in one line; resumed,"
        " they end byte for byte as if nothing had been",
        passed(tested("tests/training/test_kill.py", "-k", "two_ranks")),
    )
    row(
        "two ranks against one, float64, 50 steps, within 1e-9, five games",
        passed(tested("tests/training/test_ranks.py")),
    )
    row("divergence and full memory: back to a checkpoint, and on", passed(tested("tests/training/test_recover.py")))
    row("damaged and crafted checkpoints", passed(tested("tests/training/test_resume.py")))
    row("bad input, each met by `inspect` and `train`", passed(tested("tests/data/test_bad_input.py")))
    memory = run([sys.executable, str(HERE / "memory.py")]).splitlines()
    for line in memory[1:]:
        num, median, most = line.split()
        unit = "times" if num == "ratio" else "MB"
        label = "the larger against the smaller" if num == "ratio" else f"{num} images"
        row(f"private memory while training, {label}", f"median {median}, most {most} {unit}")
    scaling = run([sys.executable, str(HERE / "scaling.py"), "--pairs", "9"]).splitlines()
    row("two ranks of one thread against one, DCGAN-64, batch 128, images a second", scaling[-1])


if __name__ == "__main__":
    main()
