"""Small runs that are made to fail, and healthy ones: does the diagnosis name the fault, and is it silent elsewhere?

Which findings are right for a fault is written in `FAULTS`, from what is known of GANs: it stood there before the
first run. Runs are those of `gannet train`, at 16 pixels, one thread each, about a minute long, with three seeds: the
first two on digits (--digits, a folder with one folder for each digit), the third on drawn shapes; without --digits all
on shapes. What is finished in --out is kept, so that the same command goes on. It prints a table, and writes
it to OUT/sabotage.md, and the curves and the last grid of each run, side by side and small, to OUT/pictures.

    uv run python benchmarks/sabotage.py --digits FOLDER --out OUT
    uv run python benchmarks/sabotage.py --digits FOLDER --out OUT --autopilot

The second trains the faults that a setting can mend with --autopilot, and compares them with healthy runs of the same
data and seed: the Frechet distance of 2,000 samples and 2,000 reals, by the features of EfficientNet-Lite0.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import numpy as np
import torch
from sabotage_report import Expected, Job, autopilot_told, faults_told, healthy_told, picture

from gannet import sessions
from gannet.cli import main as gannet_command
from gannet.data import batch
from gannet.data.cache import cache_folder
from gannet.data.sources import open_source
from gannet.files import write_text, write_with
from gannet.training.loop import Training

Images = Literal["as they are", "one", "ten", "shuffled"]
KIMG = 100.0
BASE = "--recipe dcgan --resolution 16 --G.width 32 --D.width 32 --G.z-dim 32 --batch 32 --data.held-out 0.1"
OF_ALL = "--device cpu --train.precision float32 --stats.every 5 --samples.num 36"


@dataclass(frozen=True)
class Fault:
    """What is wrong, put in by settings or by a function of `WRAPPERS`, and which findings say so."""

    right: tuple[str, ...]
    why: str
    words: str = ""
    images: Images = "as they are"
    wrapper: str = ""
    kimg: float = KIMG
    setting: str = ""
    """What is out of range; the finding `settings` is right where it names this one."""
    mendable: bool = False
    """Whether a setting of the training alone can mend it."""


FAULTS = {
    "D's rate x50": Fault(
        ("settings", "d-wins", "diverging", "oscillation"),
        "D outruns G (Heusel et al. 2017), or its steps are too large to settle",
        "--optim.D.lr 1e-2",
        setting="optim.D.lr",
        mendable=True,
    ),
    "G's rate x50": Fault(
        ("settings", "g-wins", "mode-collapse", "oscillation", "diverging"),
        "G runs ahead of D and maps all z to few images (Goodfellow et al. 2014, section 6), or never settles",
        "--optim.G.lr 1e-2",
        setting="optim.G.lr",
        mendable=True,
    ),
    "D never updated": Fault(
        ("not-learning", "d-asleep", "g-wins"),
        "G has nobody to learn from, and fools a D that does not answer",
        "--optim.D.lr 1e-12",
        mendable=True,
    ),
    "G never updated": Fault(
        ("not-learning", "d-wins"),
        "G stays as it was, and D tells it apart ever better",
        "--optim.G.lr 1e-12",
        mendable=True,
    ),
    "minimax, strong D": Fault(
        ("d-wins",),
        "log(1 - D(G(z))) is flat where D is sure (Goodfellow et al. 2014, section 3)",
        "--objective.name minimax --D.width 64 --optim.D.lr 8e-4",
        mendable=True,
    ),
    "one image": Fault(
        ("data", "copying"), "512 copies of one image are all the data", "--data.held-out 0", images="one"
    ),
    "10 images": Fault(
        ("data", "d-memorises", "copying"),
        "D knows so few by heart (Karras et al. 2020, ADA)",
        images="ten",
    ),
    "labels shuffled": Fault(
        ("labels-ignored", "data"),
        "nobody can learn the class of an image from them",
        "--game.name acgan --D.label none",
        images="shuffled",
    ),
    "batch of 2": Fault(
        ("settings", "oscillation", "mode-collapse", "diverging", "d-wins"),
        "gradients are mostly noise, no batch shows D that samples are alike, and batch norm of two gives them away",
        "--batch 2",
        setting="train.batch",
        kimg=12.0,
    ),
    "beta1 0.99": Fault(
        ("settings", "oscillation", "diverging"),
        "momentum of 0.9 made training swing and unstable (Radford et al. 2016, section 4)",
        "--optim.G.betas 0.99 0.999 --optim.D.betas 0.99 0.999",
        setting="optim.G.betas",
        mendable=True,
    ),
    "D with 1/16 of the filters": Fault(
        ("settings", "g-wins", "d-asleep"),
        "D cannot see what is wrong with the samples",
        "--D.width 2",
        setting="D.width",
        mendable=True,
    ),
    "data in [0, 1]": Fault(
        ("data",),
        "tanh gives [-1, 1]: half of G's range is never seen in reals",
        "--data.held-out 0",
        wrapper="halved range",
    ),
    "huge initialisation": Fault(
        ("bad-start", "diverging", "d-wins", "not-learning", "d-asleep"),
        "logits are saturated and gradients huge, or the steps are nothing beside such weights",
        wrapper="huge weights",
    ),
    "noise of dimension 1": Fault(
        ("settings", "mode-collapse", "d-wins"),
        "samples lie on a curve, with few different ones, that a D can part from the data (Arjovsky and Bottou 2017)",
        "--G.z-dim 1",
        setting="G.z_dim",
        mendable=True,
    ),
    "float16 without scaling": Fault(
        ("diverging", "not-learning"),
        "small gradients become 0, and Adam divides by their squares (Micikevicius et al. 2018, section 3)",
        wrapper="float16",
    ),
}


@dataclass(frozen=True)
class Healthy:
    """A recipe that works, on `digits` (with labels where its words ask for them), `shapes` or `shapes-labelled`."""

    words: str
    data: str = "digits"
    kimg: float = KIMG


PLAIN = "--resolution 16 --G.width 32 --D.width 32 --batch 32"
HEALTHY = {
    "dcgan": Healthy(BASE),
    "small": Healthy("--recipe small --resolution 16 --data.held-out 0.1", "shapes"),
    "lsgan": Healthy(f"--recipe lsgan {PLAIN}"),
    "hinge, spectral norm": Healthy(f"--recipe sngan-shapes-ttur {PLAIN} --objective.name hinge", "shapes"),
    "wgan-gp": Healthy(
        f"--recipe dcgan {PLAIN} --D.norm none --objective.name wasserstein --game.d-steps 3"
        " --penalties.gradient-penalty.weight 10 --optim.G.betas 0 0.9 --optim.D.betas 0 0.9",
        kimg=150.0,
    ),
    "acgan": Healthy(
        f"--recipe acgan {PLAIN} --D.dropout 0", "digits by label"
    ),  # with 0.5 so narrow a D learns nothing
    "cgan-mnist": Healthy("--recipe cgan-mnist --batch 50", "digits by label", kimg=150.0),
    "mlp-mnist": Healthy("--recipe mlp-mnist", kimg=120.0),
    "resnet": Healthy(
        "--recipe sngan-cifar10 --resolution 16 --G.width 16 --D.width 16 --G.max-width 64 --D.max-width 32"
        " --batch 32 --game.d-steps 1 --ema.half-life-kimg 1",
        "shapes",
        kimg=40.0,
    ),
    "relativistic, R1 and R2": Healthy(
        f"--recipe dcgan {PLAIN} --D.norm none --objective.name relativistic --penalties.r1.gamma 0.2"
        " --penalties.r2.gamma 0.2 --optim.G.betas 0 0.99 --optim.D.betas 0 0.99"
    ),
}


@contextmanager
def built(change: Callable[[Training], None]) -> Iterator[None]:
    """What a run builds is changed before its first step."""
    build = sessions.build_training

    def changed(*words: Any) -> Training:
        training = build(*words)
        change(training)
        return training

    with patch.object(sessions, "build_training", changed):
        yield


@torch.no_grad()
def thirtyfold(t: Training) -> None:
    """All weights of convolutions and dense layers thirty times as large."""
    for network in t.networks.values():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.mul_(30)


def halve(t: Training) -> None:
    """Weights, gradients and Adam's averages in float16, as `network.half()` makes them."""
    for name in t.game.built:
        t.networks[name].half().register_forward_pre_hook(lambda module, given: tuple(x.half() for x in given))


def halved_range() -> Any:
    to_float = batch.to_float
    return patch.object(batch, "to_float", lambda x: to_float(x) / 2 + 0.5)


WRAPPERS: dict[str, Callable[[], Any]] = {
    "": nullcontext,
    "halved range": halved_range,
    "huge weights": lambda: built(thirtyfold),
    "float16": lambda: built(halve),
}


def images_of(folder: Path, digits: str | None, kind: str) -> str:
    """The data of that kind: what was named, or a folder of PNGs that is written once."""
    if kind in ("shapes", "shapes-labelled"):
        return kind
    if kind == "as they are":
        return digits or "shapes"
    labelled = digits or "shapes-labelled"
    place = folder / "data" / f"{kind} {Path(labelled).name}"
    if not place.exists():
        source = open_source(labelled, cache_folder())
        random = np.random.Generator(np.random.Philox(7))
        chosen = {"one": [0] * 512, "ten": list(range(0, len(source), len(source) // 10))[:10]}.get(kind)
        classes = random.permutation(source.labels)
        for number, i in enumerate(range(len(source)) if chosen is None else chosen):
            name = f"{source.classes[classes[i]]}/{number:05}.png" if chosen is None else f"{number:05}.png"
            picture = source.open(i)
            write_with(place / name, lambda file, picture=picture: picture.save(file, "PNG"), sync=False)
    return str(place)


def fault_job(out: Path, digits: str | None, name: str, seed: int, autopilot: bool = False) -> Job:
    """The run of a fault; with autopilot in a folder of its own."""
    fault, on_shapes = FAULTS[name], seed % 3 == 2
    data = images_of(out, None if on_shapes else digits, fault.images)
    words = [data, *BASE.split(), *fault.words.split(), *(["--data.labels"] if fault.images == "shuffled" else [])]
    place = out / ("autopilot" if autopilot else "faults") / folder_name(name, seed)
    more = ["--autopilot"] if autopilot else []
    return Job(name, seed, (*words, *lasting(fault.kimg, seed), *more), fault.wrapper, place)


def healthy_job(out: Path, digits: str | None, name: str, seed: int) -> Job:
    recipe, by_label = HEALTHY[name], HEALTHY[name].data == "digits by label"
    kind = "as they are" if recipe.data.startswith("digits") else recipe.data
    data = images_of(out, digits, "shapes-labelled" if by_label and not digits else kind)
    words = [data, *recipe.words.split(), "--data.labels" if by_label else "--data.no-labels"]
    return Job(name, seed, (*words, *lasting(recipe.kimg, seed)), "", out / "healthy" / folder_name(name, seed))


def reference_job(out: Path, digits: str | None, seed: int) -> Job:
    """The healthy run that one of autopilot's is compared with: the same data and seed, and no fault."""
    data = images_of(out, None if seed % 3 == 2 else digits, "as they are")
    words = (data, *BASE.split(), *lasting(KIMG, seed))
    return Job("no fault", seed, words, "", out / "autopilot" / folder_name("no fault", seed))


def lasting(kimg: float, seed: int) -> list[str]:
    """What is the same in all runs: how long, how often a grid, and a seed."""
    moments = f"--samples.when,every {kimg / 20:g} kimg,--checkpoints.when,every {kimg / 25:g} kimg".split(",")
    return [*OF_ALL.split(), "--kimg", f"{kimg:g}", "--seed", str(seed), *moments]


def expected(job: Job) -> Expected:
    """What is known of a fault before its run."""
    fault = FAULTS[job.name]
    return Expected(job, fault.right, fault.setting, fault.images != "as they are")


def folder_name(name: str, seed: int) -> str:
    kept = "".join(letter if letter.isalnum() else "-" for letter in name.lower())
    return f"{'-'.join(part for part in kept.split('-') if part)}-seed{seed}"


def play(job: Job) -> None:
    """Trains in this process, by the command itself, and notes how it ended."""
    torch.set_num_threads(1)
    began = time.monotonic()
    with WRAPPERS[job.wrapper]():
        status = gannet_command(["train", *job.words, "--run", str(job.run)])
    note = {"status": status, "seconds": round(time.monotonic() - began, 1), "words": list(job.words)}
    write_text(job.ended, json.dumps(note, indent=2) + "\n")


def played(job: Job) -> Job:
    """The job, once it is done: by a process of one thread, unless it was before."""
    if job.ended.exists():
        return job
    shutil.rmtree(job.run, ignore_errors=True)
    job.run.parent.mkdir(parents=True, exist_ok=True)
    asked = job.run.with_suffix(".json")
    write_text(asked, json.dumps([job.name, job.seed, job.words, job.wrapper, str(job.run)]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, __file__, "--play", str(asked)]
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    write_text(job.run.with_suffix(".log"), done.stdout)
    if not job.ended.exists():
        sys.exit(f"{job.run} did not end:\n{done.stdout[-2000:]}")
    print(f"{job.run.parent.name}/{job.run.name}: {json.loads(job.ended.read_text())['seconds']:.0f} s", flush=True)
    return job


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", help="a folder of digits, one folder for each")
    parser.add_argument("--out", type=Path, default=Path("sabotage"))
    parser.add_argument("--only", nargs="+", choices=[*FAULTS, *HEALTHY], default=[*FAULTS, *HEALTHY])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time, one thread each")
    parser.add_argument("--autopilot", action="store_true", help="mend what a setting can mend")
    parser.add_argument("--play", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.play:
        name, seed, words, wrapper, run = json.loads(asked.play.read_text("utf-8"))
        play(Job(name, seed, tuple(words), wrapper, Path(run)))
        return
    out, digits = asked.out, asked.digits
    faults = [name for name in FAULTS if name in asked.only and (FAULTS[name].mendable or not asked.autopilot)]
    healthy = [] if asked.autopilot else [name for name in HEALTHY if name in asked.only]
    jobs = [fault_job(out, digits, name, seed, asked.autopilot) for name in faults for seed in asked.seeds]
    good = [healthy_job(out, digits, name, seed) for name in healthy for seed in asked.seeds]
    references = {seed: reference_job(out, digits, seed) for seed in asked.seeds}
    with ThreadPoolExecutor(asked.jobs) as pool:
        list(pool.map(played, [*jobs, *good, *references.values()]))
    for job in [*jobs, *good]:
        picture(job, out)
    if asked.autopilot:
        lines = autopilot_told(jobs, references)
    else:
        lines = [*(faults_told([expected(job) for job in jobs], references) if jobs else []), ""]
        lines += healthy_told(good) if good else []
    write_text(out / ("autopilot.md" if asked.autopilot else "sabotage.md"), "\n".join(lines).strip() + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
