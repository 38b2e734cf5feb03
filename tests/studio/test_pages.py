"""The studio in a browser, as a person uses it: by mouse, by keyboard, on a phone, in both colour schemes."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from filelock import FileLock
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright
from runs import TINY, train
from scipy.stats import beta
from studios import written

from gannet.studio.notebook import Studio
from gannet.studio.start import opened

pytestmark = pytest.mark.slow  # it needs Chromium, which not everybody has

HERE = Path(__file__).parent
AXE = HERE / "vendor" / "axe.min.js"
NOT_FOUND = "Failed to load resource"
DESK, PHONE = ViewportSize(width=1440, height=900), ViewportSize(width=390, height=844)
SHORT = """
    data.resolution 16
    train.device = cpu
    train.precision float32
    --train.batch 16
    G.width 4
    D.width 4
    samples.num 4
    samples.when every 1 kimg
"""
TOO_FAST = {"optim.D.lr": 0.01, "optim.G.lr": 1e-5}
"""D outruns G within a thousand images."""
PAGES = {
    "runs": "",
    "run": "run/first",
    "finding": "run/d-wins",
    "play": "play/first",
    "rate": "rate/first",
    "compare": "compare?runs=first&runs=second",
    "data": "data?path=shapes",
    "missing": "run/none",
}

Visit = Callable[..., Page]
Scheme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two runs that differ in their seed, and one in which D wins."""
    place = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANNET_CACHE", str(place / "cache"))
        settings = {**TINY, "data.labels": True, "D.norm": "spectral"}
        for seed, name in enumerate(("first", "second")):
            train(Path("shapes-labelled"), place / "runs" / name, {**settings, "seed": seed})
        longer = {"train.length": "6 kimg", "samples.when": "every 2 kimg", "checkpoints.when": "every 3 kimg"}
        train(Path("shapes"), place / "runs" / "d-wins", {**TINY, **longer, **TOO_FAST, "train.batch": 8})
        for seed, name in enumerate(("first", "second")):
            shutil.copytree(place / "runs" / name, place / "measured" / f"seed{seed}")
            with (place / "measured" / f"seed{seed}" / "stats.jsonl").open("a", encoding="utf-8") as file:
                file.write(written(measured(0.3 + 0.1 * seed)))
        yield place


def measured(value: float) -> list[dict[str, Any]]:
    line = {"type": "metric", "metric": "KID", "better": "lower", "protocol": {"extractor": "pixels", "seed": 0}}
    each = ((0.012, 2 * value), (0.024, value))
    return [{**line, "kimg": kimg, "value": v, "low": 0.9 * v, "high": 1.1 * v} for kimg, v in each]


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with studio_of(folder / "runs") as url:
        yield url


@contextmanager
def studio_of(runs: Path, data: Sequence[Path] = ()) -> Iterator[str]:
    """A studio over a folder, which answers in a thread of its own."""
    studio = Studio(opened(runs, port=0, data=data), "")
    yield studio.url
    studio.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "these tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    """Opens a page of the studio with a new profile; nothing may be on the console in the end, but `allowed`."""
    pages: list[tuple[Page, list[str], str]] = []

    def go(path: str = "", url: str = address, allowed: str = "", scheme: Scheme = "light") -> Page:
        page = browser.new_context(viewport=DESK, reduced_motion="reduce", color_scheme=scheme).new_page()
        heard: list[str] = []
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.goto(f"{url}#/{path}")
        pages.append((page, heard, allowed))
        return page

    yield go
    for page, heard, allowed in pages:
        page.context.close()
        assert [text for text in heard if not (allowed and text.startswith(allowed))] == []


def test_a_run_is_started_from_the_page_and_its_curves_grow(visit: Visit) -> None:
    page = visit("data")
    page.get_by_role("button", name="shapes", exact=True).click()
    expect(page.get_by_text("2,000", exact=True)).to_be_visible(timeout=60_000)
    expect(page.get_by_alt_text("Some of the images")).to_be_visible()
    page.get_by_label("Recipe").select_option("dcgan-shapes")
    page.get_by_role("button", name="kimg", exact=True).click()
    page.get_by_label("Budget", exact=True).fill("40")
    page.get_by_label("Name", exact=True).fill("live")
    page.get_by_text("Other settings").click()
    page.get_by_label("One a line").fill(SHORT)
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url("**/#/run/live")
    expect(page.locator(".chart")).not_to_have_count(0, timeout=60_000)
    seen = {last_of(page) for _ in range(100) if page.wait_for_timeout(100) is None}
    expect(page.locator(".state")).to_have_text("finished", timeout=180_000)
    assert len(seen) > 2, "the losses stood still while the run went on"
    expect(page.get_by_text("40 of 40 kimg")).to_be_visible()
    expect(page.locator(".pair-of-grids img").first).to_be_visible()
    slider = page.get_by_label("Samples over time", exact=True)
    slider.focus()
    page.keyboard.press("Home")
    first = page.locator(".pair-of-grids img").first
    expect(first).to_have_attribute("alt", "Samples of the same noise at 0 kimg")
    sources = [first.get_attribute("src")]
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        sources.append(first.get_attribute("src"))
    assert len(set(sources)) == 4
    page.get_by_role("button", name="Play the samples over time").click()
    expect(page.get_by_text(", the newest")).to_be_visible(timeout=20_000)
    expect(page.get_by_role("button", name="Resume")).to_have_count(0)
    page.get_by_label("Go on until").fill("44")
    page.get_by_role("button", name="Go on longer").click()
    expect(page.get_by_text("44 of 44 kimg")).to_be_visible(timeout=120_000)
    expect(page.locator(".state")).to_have_text("finished", timeout=60_000)
    expect(page.get_by_text("extended, train.length 44 kimg")).to_be_visible()


def last_of(page: Page) -> str:
    return page.locator(".legend .value").first.inner_text()


def test_what_goes_wrong_comes_to_the_page_by_itself_and_a_change_is_one_click_away(visit: Visit) -> None:
    page = visit("data?path=shapes")
    page.get_by_label("Recipe").select_option("dcgan-shapes", timeout=60_000)
    page.get_by_role("button", name="kimg", exact=True).click()
    page.get_by_label("Budget", exact=True).fill("200")
    page.get_by_label("Name", exact=True).fill("too-fast")
    page.get_by_text("Other settings").click()
    page.get_by_label("One a line").fill(SHORT + "".join(f"{name} {value}\n" for name, value in TOO_FAST.items()))
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_text("Nothing is wrong, as far as the curves tell.")).to_be_visible(timeout=60_000)
    finding = page.get_by_role("region", name="D wins")
    expect(finding).to_contain_text(re.compile(r"Since \d+(\.\d)? kimg"), timeout=120_000)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name=re.compile("^Resume"))).to_be_visible(timeout=60_000)
    expect(page.locator(".state")).to_have_text("stopped")
    expect(page.locator(".run-head .wrong")).to_have_text("D wins")
    band = page.locator(".plot canvas").first.evaluate("""canvas => {
        const row = canvas.getContext('2d').getImageData(0, canvas.height / 2, canvas.width, 1).data;
        const shaded = x => row[4 * x] > 150 && row[4 * x + 2] < 100 && row[4 * x + 3] > 20;
        return [...Array(canvas.width).keys()].filter(shaded).length / canvas.width;
    }""")
    assert 0.2 < band < 0.99
    flag = finding.locator("code").inner_text()
    assert flag.startswith("--")
    finding.get_by_role("button", name="Start again with this change").click()
    page.wait_for_url("**/#/run/too-fast-again*")
    expect(page.locator(".chart")).not_to_have_count(0, timeout=60_000)
    name, value = flag.removeprefix("--").split(" ", 1)
    page.reload()
    page.get_by_text("settings", exact=False).first.click()
    row = page.locator(".settings tr", has=page.get_by_role("rowheader", name=name, exact=True))
    assert float(row.locator("td").inner_text()) == float(value)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0, timeout=60_000)


def test_a_zoom_asks_for_that_part_again_and_a_double_click_shows_all(visit: Visit) -> None:
    page = visit("run/d-wins")
    plot = page.locator(".plot").first
    expect(plot.locator("canvas")).to_be_visible()
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    with page.expect_request(re.compile("statistics.*from=")) as asked:
        page.mouse.move(box["x"] + 0.5 * box["width"], middle)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.8 * box["width"], middle, steps=5)
        page.mouse.up()
    low, high = (float(re.findall(rf"{end}=([\d.]+)", asked.value.url)[0]) for end in ("from", "to"))
    assert 2 < low < 3.5 < 4 < high < 5.5
    with page.expect_request(lambda request: "statistics" in request.url and "from=" not in request.url):
        plot.dblclick(position={"x": 200, "y": 80})


def test_play_answers_to_a_slider_a_label_and_a_walk(visit: Visit) -> None:
    page = visit("play/first")
    tiles = page.locator(".tiles img")
    expect(tiles).to_have_count(16, timeout=60_000)
    before = tiles.first.get_attribute("src")
    slider = page.get_by_label("direction 1")
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    expect(slider).to_have_value("1")
    expect(tiles.first).not_to_have_attribute("src", str(before))
    page.get_by_label("Label").select_option("circle")
    page.get_by_role("button", name="4", exact=True).click()
    expect(tiles).to_have_count(4)
    for place in (0, 3):
        page.locator(".tiles button").nth(place).click()
        page.get_by_role("button", name="Pin", exact=True).click()
    expect(page.get_by_role("button", name="Pinned", exact=True)).to_be_focused()
    expect(page.locator(".strip img")).to_have_count(8)
    assert page.locator(".strip img").first.get_attribute("src") == tiles.first.get_attribute("src")
    page.get_by_role("button", name="Nearest training images").click()
    expect(page.locator(".near img")).to_have_count(8, timeout=60_000)
    page.get_by_role("button", name="Reset").click()
    expect(tiles.first).to_have_attribute("src", str(before))
    for button in ("Save PNG", "Save strip", "Save latent", "safetensors"):
        with page.expect_download() as saved:
            page.get_by_text(button, exact=True).click()
        assert saved.value.path().stat().st_size > 0


def test_ten_pairs_are_rated_by_keyboard_and_the_interval_is_exact(visit: Visit, folder: Path) -> None:
    page = visit("rate/first")
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Begin").click()
    for num in range(10):
        expect(page.get_by_text(f"{num} judged")).to_be_visible()
        expect(page.locator(".side img")).to_have_count(2, timeout=60_000)
        sources = [image.get_attribute("src") or "" for image in page.locator(".side img").all()]
        assert not any(re.search("real|fake", source.split("/")[-1]) for source in sources)
        page.keyboard.press("ArrowLeft" if num % 2 else "ArrowRight")
    expect(page.get_by_text("10 judged")).to_be_visible()
    page.keyboard.press("Escape")
    lines = [json.loads(line) for line in (folder / "runs/first/ratings.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == 10
    assert {line["rater"] for line in lines} == {"Ada"}
    fooled = sum(not line["correct"] for line in lines)
    low = beta.ppf(0.025, fooled, 11 - fooled) if fooled else 0.0
    high = beta.ppf(0.975, fooled + 1, 10 - fooled) if fooled < 10 else 1.0
    text = f"95% interval {round(100 * low)}% to {round(100 * high)}%, from 10 choices"
    expect(page.get_by_text(text)).to_be_visible()
    expect(page.locator(".big strong")).to_have_text(f"{10 * fooled}%")


def test_a_limit_of_time_hides_the_pictures_and_still_takes_the_choice(visit: Visit) -> None:
    page = visit("rate/second")
    page.get_by_role("button", name="½ s").click()
    page.get_by_role("button", name="Begin").click()
    expect(page.locator(".side img")).to_have_count(2, timeout=60_000)
    expect(page.locator(".side img")).to_have_count(0)
    page.get_by_role("button", name="Left is real").click()
    expect(page.get_by_text("1 judged")).to_be_visible()
    for _ in range(3):  # the first press, and what a key that is held down sends
        expect(page.locator(".side:enabled")).to_have_count(2)
        page.keyboard.down("ArrowLeft")
        page.wait_for_timeout(300)
    expect(page.get_by_text("2 judged")).to_be_visible()


def test_two_runs_are_chosen_and_compared_whatever_their_names(visit: Visit, folder: Path, tmp_path: Path) -> None:
    names = ("first, 50% & more?", "second")
    for name, run in zip(names, ("first", "second"), strict=True):
        shutil.copytree(folder / "runs" / run, tmp_path / name)
    with studio_of(tmp_path) as url:
        page = visit(url=url)
        for name in names:
            page.get_by_label(f"Compare {name}").check()
        page.get_by_role("link", name="Compare", exact=True).last.click()
        expect(page.get_by_role("figure").first).to_contain_text("second", timeout=60_000)
        page.reload()
        for name in names:
            expect(page.get_by_alt_text(f"Samples of {name}")).to_be_visible(timeout=60_000)
        expect(page.get_by_text("Nothing but the seed.")).to_be_visible()
        page.get_by_role("button", name=names[0]).click()
        expect(page.get_by_text("Choose two runs or more")).to_be_visible()
        page.close()
        page = visit("compare?runs=second&runs=removed", url=url, allowed=NOT_FOUND)
        expect(page.get_by_role("alert")).to_contain_text("removed")
        page.get_by_role("button", name="removed").click()
        expect(page.get_by_text("Choose two runs or more")).to_be_visible()
        page.close()


def test_metrics_are_compared_as_curves_and_in_a_table(visit: Visit, folder: Path) -> None:
    with studio_of(folder / "measured") as url:
        page = visit("compare?runs=seed0&runs=seed1", url=url)
        chart = page.get_by_role("figure").filter(has=page.get_by_role("heading", name="KID"))
        expect(chart.locator(".legend li")).to_have_text([re.compile("seed0.*0.3"), re.compile("seed1.*0.4")])
        expect(page.get_by_role("region", name="Metrics")).to_contain_text("KID")
        page.close()


def test_settings_of_all_kinds_are_sent_as_what_they_are(visit: Visit) -> None:
    page = visit("data?path=shapes", allowed=NOT_FOUND)
    page.route("**/api/runs", lambda route: route.fulfill(json={"name": "none"}))
    page.get_by_text("Other settings").click(timeout=60_000)
    lines = "data.flip true|D.bias = false|data.no-labels|--optim.D.betas 0.5 .9|optim.G.betas = -0 1e-1"
    page.get_by_label("One a line").fill(f"{lines}|optim.D.lr 1e-4|samples.when every 2 kimg".replace("|", "\n"))
    with page.expect_request(lambda request: request.method == "POST") as asked:
        page.get_by_role("button", name="Start training").click()
    expected = {"data.flip": True, "D.bias": False, "data.no-labels": True, "optim.D.betas": [0.5, 0.9]}
    expected |= {"optim.G.betas": [0, 0.1], "optim.D.lr": "1e-4", "samples.when": "every 2 kimg"}
    assert json.loads(asked.value.post_data or "")["settings"] == expected


def test_what_was_looked_at_is_in_the_address_and_what_cannot_begin_says_why(visit: Visit) -> None:
    page = visit("data", allowed=NOT_FOUND)
    page.get_by_label("Folder, zip").fill("/etc")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    assert page.get_by_role("alert").inner_text().startswith("'/etc' is not in a folder")
    page.get_by_role("button", name="shapes", exact=True).click()
    page.wait_for_url("**/#/data?path=shapes")
    page.reload()
    page.get_by_text("Other settings").click(timeout=60_000)
    filled = {"Recipe": "dcgan-shapes", "Budget": "7", "Name": "lost", "One a line": "G.width -3"}
    page.get_by_label("Recipe").select_option(filled["Recipe"])
    page.get_by_role("button", name="kimg", exact=True).click()
    for label in ("Budget", "Name", "One a line"):
        page.get_by_label(label, exact=label != "One a line").fill(filled[label])
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("alert")).to_contain_text("G.width is -3", timeout=60_000)
    expect(page.get_by_role("link", name="New run")).to_have_count(2)
    expect(page.get_by_text("This run has no statistics")).to_have_count(0)
    page.get_by_role("link", name="New run").last.click()
    for label, value in filled.items():
        expect(page.get_by_label(label, exact=label != "One a line")).to_have_value(value, timeout=60_000)
    expect(page.get_by_role("button", name="kimg", exact=True)).to_have_attribute("aria-pressed", "true")
    page.go_back()
    page.go_back()
    expect(page.get_by_label("Name", exact=True)).to_have_value("lost", timeout=60_000)
    page.go_back()
    expect(page.get_by_label("Folder, zip")).to_have_value("/etc")


def test_a_zip_that_is_there_is_offered(visit: Visit, folder: Path, tmp_path: Path) -> None:
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", folder / "runs" / "first" / "samples")
    with studio_of(folder / "runs", [tmp_path]) as url:
        page = visit("data", url=url)
        page.get_by_role("button", name=packed).click()
        expect(page.get_by_alt_text("Some of the images")).to_be_visible(timeout=60_000)
        page.close()


def test_a_studio_of_one_run_names_the_command_in_place_of_the_button(visit: Visit, folder: Path) -> None:
    run = folder / "runs" / "d-wins"
    with studio_of(run) as url:
        page = visit("run/d-wins", url=url)
        finding = page.get_by_role("region", name="D wins")
        flag = finding.locator("code").first.inner_text()
        expect(finding.locator("code").last).to_have_text(f"gannet train --recipe {run}/recipe.toml {flag}")
        expect(finding.get_by_role("button")).to_have_count(0)
        page.get_by_role("link", name="New run").click()
        page.get_by_role("button", name="shapes", exact=True).click()
        expect(page.get_by_text(f"gannet studio {run.parent}", exact=True)).to_be_visible(timeout=60_000)
        expect(page.get_by_role("button", name="Start training")).to_have_count(0)
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious_and_a_phone_is_wide_enough(visit: Visit, name: str, scheme: Scheme) -> None:
    page = visit(PAGES[name], scheme=scheme, allowed=NOT_FOUND if name == "missing" else "")
    check_with_axe(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_where_one_judges_plays_compares_and_waits(
    visit: Visit, folder: Path, scheme: Scheme
) -> None:
    page = visit("rate/first", scheme=scheme)
    page.get_by_role("button", name="Begin").click()
    expect(page.locator(".side img")).to_have_count(2, timeout=60_000)
    check_with_axe(page)
    page = visit("play/first", scheme=scheme)
    for place in (0, 3):
        page.locator(".tiles button").nth(place).click(timeout=60_000)
        page.get_by_role("button", name="Pin", exact=True).click()
    page.get_by_role("button", name="Nearest training images").click()
    expect(page.locator(".near img")).to_have_count(8, timeout=60_000)
    expect(page.locator(".strip img")).to_have_count(8)
    check_with_axe(page)
    with studio_of(folder / "measured") as url:
        page = visit("compare?runs=seed0&runs=seed1", url=url, scheme=scheme)
        expect(page.locator("table.measured").first).to_be_visible(timeout=60_000)
        check_with_axe(page)
        with FileLock(folder / "measured" / "seed0" / ".lock"):
            page = visit("run/seed0", url=url, scheme=scheme)
            expect(page.get_by_role("button", name="Stop")).to_be_visible()
            check_with_axe(page)
            page.close()


def check_with_axe(page: Page) -> None:
    """Nothing serious, at both widths, and nothing to scroll sideways."""
    expect(page.locator(".loading, [role=status]:text('…')")).to_have_count(0, timeout=60_000)
    page.evaluate(AXE.read_text("utf-8"))
    for size in (DESK, PHONE):
        page.set_viewport_size(size)
        found = page.evaluate("axe.run()")["violations"]
        told = [
            (each["id"], [node["html"][:120] for node in each["nodes"]])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert told == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_the_colours_are_changed_by_a_button_and_kept(visit: Visit) -> None:
    page = visit()
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Use the dark colours").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark


def test_an_empty_folder_says_how_to_begin(visit: Visit, tmp_path: Path) -> None:
    with studio_of(tmp_path) as url:
        page = visit(url=url)
        expect(page.get_by_text("No runs yet")).to_be_visible()
        expect(page.get_by_text("gannet train shapes")).to_be_visible()
        page.close()


def test_bad_folders_are_told_and_the_page_goes_on(visit: Visit, folder: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in ("watched", "newer"):
        shutil.copytree(folder / "runs" / "first", runs / name)
    recipe = runs / "newer" / "recipe.toml"
    recipe.write_text(re.sub(r'(?m)^gannet = ".*"', 'gannet = "99.0"', recipe.read_text("utf-8")), "utf-8")
    with (runs / "newer" / "stats.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"type": "stats", "kimg": 0.02')
    for picture in (runs / "newer" / "samples").glob("*.png"):
        picture.write_bytes(picture.read_bytes()[:20])
    with studio_of(runs) as url:
        page = visit("run/newer", url=url)
        expect(page.get_by_text("Gannet 99.0 made this run")).to_be_visible()
        expect(page.get_by_text("This picture cannot be read.")).to_have_count(2)
        expect(page.locator(".chart")).not_to_have_count(0)
        watching = visit("run/watched", url=url, allowed=NOT_FOUND)
        expect(watching.locator(".chart")).not_to_have_count(0)
        watching.wait_for_timeout(500)
        shutil.rmtree(runs / "watched")
        expect(watching.get_by_role("alert")).to_contain_text("removed", timeout=20_000)
        expect(watching.get_by_role("button", name="Go on longer")).to_have_count(0)
        expect(watching.locator(".chart")).not_to_have_count(0)
        page.close()
        watching.close()


def test_the_pictures_of_a_page_are_whole(visit: Visit, folder: Path) -> None:
    page = visit("run/first")
    expect(page.locator(".run-head")).to_contain_text("0.024 of 0.024 kimg")
    image = page.locator(".pair-of-grids img").first
    expect(image).to_be_visible()
    newest = sorted((folder / "runs/first/samples").glob("kimg*.png"))[-1]
    with Image.open(newest) as grid:
        assert image.evaluate("image => [image.naturalWidth, image.naturalHeight]") == list(grid.size)
