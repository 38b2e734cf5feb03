"""The command line: one small function a command, no logic."""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

from gannet import __version__
from gannet.errors import UserError, nearest

COMMANDS = {  # by name: the module in gannet.commands that has it, and what it does
    "train": ("training", "train a GAN on a folder, a zip or a named data set"),
    "resume": ("training", "go on with a run that was stopped"),
    "inspect": ("looking", "what is in a set of images, what is wrong with it, which recipe suits it"),
    "recipes": ("looking", "list the recipes, or print one in full"),
    "sample": ("using", "images from a trained generator, or from an ONNX file of one"),
    "translate": ("using", "make other images of images, with a trained pix2pix, CycleGAN or SRGAN"),
    "upscale": ("using", "enlarge images with a trained SRGAN"),
    "serve": ("serving", "images of a trained generator over HTTP, made together where many ask"),
    "interpolate": ("walking", "a walk from one generated image to the next, as an animation"),
    "mix": ("walking", "style mixing: the layers of one generated image with those of another"),
    "directions": ("exploring", "what a generator can change about an image, found from its weights, as pictures"),
    "project": ("exploring", "the latent of which a generator makes an image of yours, as nearly as it can"),
    "evaluate": ("judging", "how good a generator or a folder of images is: FID, KID, precision, does it copy"),
    "compare": ("judging", "runs side by side, over seeds: curves, grids, tables, a paired test"),
    "diagnose": ("judging", "what is going wrong in a run or a log, since when, and the one change to make"),
    "sweep": ("training", "train with many settings, in a grid or a search, and say which was best"),
    "export": ("using", "a trained generator as one file, ONNX or safetensors, or published on the Hugging Face hub"),
    "studio": ("studio", "watch, play, compare and rate in the browser, and start runs there"),
    "scaffold": ("looking", "print a plain PyTorch training script to learn from"),
    "fetch": ("looking", "load data sets and networks ahead, for machines without a network"),
    "cache": ("looking", "list or remove the decoded images on disk"),
    "doctor": ("looking", "torch's build, devices and precision on this machine"),
}

HELP = """usage: gannet COMMAND [OPTIONS]

Train GANs on your own images, see what goes wrong, and keep a generator that runs anywhere.

commands:
{commands}

gannet COMMAND --help tells the options of a command; a first try: gannet train shapes"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; exit status 0 done, 2 the user's error, 3 diverged, 4 interrupted and saved."""
    argv = list(sys.argv[1:] if argv is None else argv)
    argv = argv[1:] if argv[:1] == ["--"] else argv  # which keeps torchrun from reading our options as its own
    command, rest = (argv[0], argv[1:]) if argv else ("--help", [])
    try:
        if command in ("--help", "-h", "help"):
            print(HELP.format(commands="\n".join(f"  {name:<11} {about}" for name, (_, about) in COMMANDS.items())))
            return 0
        if command == "--version":
            print(f"gannet {__version__}")
            return 0
        if command not in COMMANDS:
            raise UserError(f"there is no command '{command}'{nearest(command, COMMANDS)}")
        module = importlib.import_module(f"gannet.commands.{COMMANDS[command][0]}")
        run: Callable[[list[str]], int | None] = getattr(module, command)
        return run(rest) or 0
    except UserError as error:
        if str(error):  # else another rank has said it
            print(f"gannet: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("gannet: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def entry() -> NoReturn:
    """The process that a shell or torchrun starts."""
    status = main()
    if os.environ.get("WORLD_SIZE", "1") != "1":
        # Everything is saved: torch's threads between ranks may abort the interpreter while it is taken down.
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    entry()
