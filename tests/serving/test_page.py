"""The page of the service for people: what it says, its form, and that it loads nothing from elsewhere."""

import dataclasses
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from gannet.generation.load import Generator, load
from gannet.serving.app import Service
from gannet.serving.worker import Worker

V0_1 = Path(__file__).parents[1] / "generation" / "fixtures" / "v0.1"


@pytest.fixture
def G() -> Generator:
    return load(V0_1)


@pytest.fixture
def client(G: Generator) -> Iterator[TestClient]:
    with TestClient(Service(G, Worker(G, 16, 64), "fixture").app()) as client:
        yield client


class Tags(HTMLParser):
    """The attributes of each tag of a page, by its name."""

    def __init__(self, page: str):
        super().__init__()
        self.found: dict[str, list[dict[str, str]]] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.setdefault(tag, []).append({name: value or "" for name, value in attrs})


def test_docs_load_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "//" not in page.replace("<!doctype html>", "")
    assert not {"script", "link", "iframe"} & Tags(page).found.keys()
    assert all(f"<td>{name}</td>" in page for name in ("num", "seed", "label", "truncation", "format"))
    assert "GET /sample" in page and "GET /health" in page and "day, night" in page
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/sample", "/health"} and set(paths["/sample"]["get"]["responses"]) == {"200", "422", "503"}


def test_the_root_leads_to_the_docs(client: TestClient) -> None:
    answer = client.get("/", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")
    assert client.get("/").text == client.get("/docs").text


def test_the_form_has_all_parameters_and_leaves_empty_ones_out(client: TestClient) -> None:
    tags = Tags(client.get("/docs").text).found
    (form,) = tags["form"]
    fields = {each["name"]: each.get("value") for each in tags["input"] + tags["select"]}
    assert fields == {"num": "1", "seed": "0", "label": "", "truncation": "", "format": None}
    assert form["action"] == "/sample" and "if (!value) event.formData.delete(name)" in form["onformdata"]
    sent = {name: value for name, value in fields.items() if value}
    assert client.get(form["action"], params=sent).headers["content-type"] == "image/png"


def test_names_are_escaped_in_the_page(G: Generator) -> None:
    G = dataclasses.replace(G, classes=("<script>", "b"))
    with TestClient(Service(G, Worker(G, 4, 4), "<b>name").app()) as client:
        page = client.get("/docs").text
    assert "<script" not in page and "<b>name" not in page and "&lt;script&gt;" in page
