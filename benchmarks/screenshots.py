"""The studio's pages as pictures, for docs/studio.md and for whoever changes the page: at 1440 and at 390 pixels.

Trains three runs on drawn shapes, one of them with a D that learns much too fast, opens the studio over them, and
goes through its pages with Chromium, which must be there, as a person would. Needs the extra `eval-offline`.

    uv run python benchmarks/screenshots.py --out docs/pictures     # about five minutes on two cores
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

SIZES = {"": (1440, 900), "_phone": (390, 844)}
SMALL = ["--data.resolution", "16", "--samples.num", "36", "--samples.when", "every 4 kimg"]
SMALL += ["--train.device", "cpu", "--train.precision", "float32"]
MEASURED = ["--train.evaluate-every", "12", "--train.evaluate-num", "256", "--train.extractor", "efficientnet-lite0"]
RUNS: Mapping[str, Sequence[str]] = {
    "shapes": ["shapes-labelled", "--recipe", "cdcgan-shapes", *MEASURED],
    "seed-1": ["shapes-labelled", "--recipe", "cdcgan-shapes", "--seed", "1", *MEASURED],
    "too-fast": ["shapes", "--recipe", "dcgan-shapes", "--optim.D.lr", "0.01", "--optim.G.lr", "1e-5"],
}
PAIRS = 12
PATIENCE = 120_000  # milliseconds that a page may take


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--kimg", type=float, default=60.0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        for name, words in RUNS.items():
            run = str(Path(place) / name)
            gannet("train", *words, *SMALL, "--kimg", str(options.kimg), "--run", run).check_returncode()
        with served(Path(place)) as url:
            photograph(url, options.out)


def gannet(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "gannet", *words], stdout=subprocess.DEVNULL)


@contextmanager
def served(runs: Path) -> Iterator[str]:
    """A studio over the runs, by its address."""
    command = [sys.executable, "-m", "gannet", "studio", str(runs), "--data", str(runs), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found, "the studio did not say its address"
            yield found[0]
        finally:
            process.terminate()


def photograph(url: str, out: Path) -> None:
    """One picture of each page and size."""
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for size, (width, height) in SIZES.items():
            for name, (path, act) in PAGES.items():
                scheme = "dark" if name == "play" else "light"
                page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                page.set_default_timeout(PATIENCE)
                page.goto(f"{url}#/{path}")
                act(page)
                page.wait_for_timeout(500)
                save(page, out / f"studio_{name}{size}.png")
                page.close()
        browser.close()


def save(page: Page, path: Path) -> None:
    """The whole page, in few colours: a fifth of the bytes."""
    page.screenshot(path=path, full_page=True)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(192, dither=Image.Dither.NONE).save(path, optimize=True)


def shown(what: str) -> Callable[[Page], None]:
    return lambda page: page.locator(what).first.wait_for()


def play(page: Page) -> None:
    for place in (2, 9):
        page.locator(".tiles button").nth(place).click()
        page.get_by_role("button", name="Pin", exact=True).click()
    page.get_by_role("button", name="Nearest training images").click()
    page.locator(".near img").first.wait_for()
    page.locator(".strip img").first.wait_for()


def rate(page: Page) -> None:
    """Judges some pairs by turns, and shows the result."""
    page.get_by_role("button", name="Begin").click()
    for num in range(PAIRS):
        page.get_by_text(f"{num} judged").wait_for()
        page.locator(".side img").nth(1).wait_for()
        page.keyboard.press("ArrowRight" if num % 3 else "ArrowLeft")
    page.get_by_text(f"{PAIRS} judged").wait_for()
    page.keyboard.press("Escape")
    page.locator(".interval").first.wait_for()


def judging(page: Page) -> None:
    page.get_by_role("button", name="Begin").click()
    page.locator(".side img").nth(1).wait_for()


PAGES: Mapping[str, tuple[str, Callable[[Page], None]]] = {
    "runs": ("", shown(".found")),
    "run": ("run/too-fast", shown(".grid-picture")),
    "play": ("play/shapes", play),
    "judging": ("rate/shapes", judging),
    "rate": ("rate/shapes", rate),
    "compare": ("compare?runs=shapes&runs=seed-1", shown(".grids img")),
    "data": ("data?path=shapes-labelled", shown(".grid-picture")),
}


if __name__ == "__main__":
    main()
