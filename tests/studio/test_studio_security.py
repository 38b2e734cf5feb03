"""Nobody but this machine's own page, or whoever has the token, gets anything from the studio or makes it act."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from studios import ORIGIN, PORT, Ask, Runs, error, stats

from gannet.studio import server
from gannet.studio.security import MOST_BYTES, own_hosts
from gannet.studio.server import PAGE


@pytest.fixture
def client(runs: Runs, ask: Ask) -> TestClient:
    runs("one", stats(3), grids=[0.1])
    return ask()


@pytest.mark.parametrize("host", [f"127.0.0.1:{PORT}", f"localhost:{PORT}", f"[::1]:{PORT}", f"LOCALHOST:{PORT}"])
def test_the_names_of_this_machine_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/api/runs", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:80", f"127.0.0.1.evil.example:{PORT}", ""]
)
@pytest.mark.parametrize("path", ["/", "/api/runs", "/files/one/samples/kimg000000.100.png"])
def test_a_name_that_was_rebound_to_this_machine_is_not(client: TestClient, host: str, path: str) -> None:
    assert "address" in error(client.get(path, headers={"host": host}), 403)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"http://127.0.0.1:{PORT + 1}"},
        {"origin": f"http://127.0.0.1:{PORT}.evil.example"},
    ],
)
@pytest.mark.parametrize("path", ["/api/runs", "/api/runs/one/stop", "/api/rate/one"])
def test_a_post_of_another_site_does_nothing(client: TestClient, headers: dict[str, str], path: str) -> None:
    assert "own page" in error(client.post(path, json={"data": "shapes"}, headers=headers), 403)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_form_of_another_site_does_nothing(client: TestClient, kind: str) -> None:
    headers = {**ORIGIN, "content-type": kind}
    assert "application/json" in error(client.post("/api/runs", content='{"data": "shapes"}', headers=headers), 415)


def test_a_picture_is_not_shown_within_another_site(client: TestClient) -> None:
    path = "/files/one/samples/kimg000000.100.png"
    assert client.get(path, headers={"sec-fetch-site": "same-origin"}).status_code == 200
    error(client.get(path, headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}), 403)
    assert client.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}).status_code != 403


def test_a_huge_request_is_refused_however_its_length_is_told(client: TestClient) -> None:
    headers = {**ORIGIN, "content-type": "application/json"}
    body = b'"' + b"x" * MOST_BYTES + b'"'

    def parts() -> Iterator[bytes]:
        yield body[:1000]
        yield body[1000:]

    assert "64 kB" in error(client.post("/api/runs", content=body, headers=headers), 413)
    assert "64 kB" in error(client.post("/api/runs", content=parts(), headers=headers), 413)
    error(client.post("/api/runs", content=b"{}", headers={**headers, "content-length": "-1"}), 413)
    error(client.post("/api/runs", content=b"[1]", headers=headers), 422)
    error(client.post("/api/runs", content=b"{", headers=headers), 422)


def test_a_query_is_not_taken_for_less_than_it_says(client: TestClient) -> None:
    for path, name, known in [
        ("/api/runs", "sort", "none"),
        ("/api/runs/one/statistics", "begin", "from, names, points, to"),  # it is `from`
        ("/api/runs/one/sample", "sead", "seed"),
        ("/api/compare", "run", "names, runs"),
        ("/api/rate/one/pair", "second", "seconds"),
        ("/files/one/samples/kimg000000.100.png", "width", "none"),
    ]:
        told = error(client.get(path, params={name: "1"}), 422)
        assert f"'{name}'" in told and known in told
    error(client.post("/api/runs/one/stop?now=1", json={}, headers=ORIGIN), 422)
    assert client.get("/api/runs/one/statistics?from=0&to=1&points=9&names=x").status_code == 200
    assert client.get("/?unheard=1").status_code == 200  # of the page's own files nothing is asked


PATHS = ("../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", "%2e%2e%2fsecret.txt", "%252e%252e/secret.txt")
PATHS += ("..%5csecret.txt", "samples/../../secret.txt", "samples/%2e%2e/%2e%2e/secret.txt", "//etc/passwd")
PATHS += ("recipe.toml", "stats.jsonl", ".lock", "samples/z.npy", "samples/kimg000000.100.png%00.txt", "samples")


@pytest.mark.parametrize("path", PATHS)
def test_nothing_but_the_pictures_of_a_run_is_served(client: TestClient, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "runs" / "secret.txt").write_text("secret")
    for start in ("/files/one/", "/files/", "/"):
        answer = client.get(start + path)
        assert answer.status_code in (404, 405) and "secret" not in answer.text


@pytest.mark.parametrize("name", ["..", "%2e%2e", "one%2f..", "..%2fruns%2fone", "one%00", "%ff"])
def test_a_run_is_found_by_its_listed_name_alone(client: TestClient, name: str) -> None:
    for path in ("", "/statistics", "/sample", "/latent?seed=1", "/events"):
        assert client.get(f"/api/runs/{name}{path}").status_code == 404


def test_links_that_lead_out_of_the_runs_are_not_followed(runs: Runs, ask: Ask, tmp_path: Path) -> None:
    outside = runs("../outside", stats(3), grids=[0.1])
    (tmp_path / "runs").mkdir(exist_ok=True)
    os.symlink(outside, tmp_path / "runs" / "linked")
    run = runs("one", grids=[0.1])
    (run / "stats.jsonl").unlink()
    os.symlink(outside / "stats.jsonl", run / "stats.jsonl")
    os.symlink(outside / "samples" / "kimg000000.100.png", run / "samples" / "real.png")
    os.symlink(outside / "samples" / "kimg000000.100.png", run / "samples" / "kimg000009.000.png")
    os.symlink(outside / "samples", run / "generator")
    os.symlink(outside / "recipe.toml", run / "ratings.jsonl")
    client = ask()
    assert [row["name"] for row in client.get("/api/runs").json()] == ["one"]
    error(client.get("/api/runs/linked"), 404)
    error(client.get("/files/one/samples/real.png"), 403)
    assert "leads out" in error(client.get("/api/runs/one/statistics"), 403)
    assert "leads out" in error(client.get("/api/runs/one/sample"), 403)
    assert client.get("/api/rate/one/result").json()["deception"]["num"] == 0
    assert client.get("/api/runs").json()[0]["kimg"] == 0


def test_a_token_is_needed_where_there_is_one(runs: Runs, ask: Ask) -> None:
    runs("one", stats(3))
    client = ask(token="right")
    for path in ("/", "/api/runs", "/files/one/curves.png", "/api/runs?token=right"):
        assert "token" in error(client.get(path), 401)
    error(client.get("/?token=wrong"), 401)
    error(client.get("/api/runs", headers={"authorization": "Bearer wrong"}), 401)
    assert client.get("/api/runs", headers={"authorization": "Bearer right"}).status_code == 200
    entered = client.get("/?token=right")
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert {"HttpOnly", "SameSite=Lax"} <= set(re.split("; ?", entered.headers["set-cookie"]))
    assert client.get("/api/runs").status_code == 200  # by the cookie that was set
    error(client.post("/api/runs", json={}, headers={"origin": "http://evil.example"}), 403)


def test_a_proxy_is_answered_by_its_own_name_and_by_this_machines(runs: Runs, ask: Ask) -> None:
    runs("one", stats(3))
    client = ask(proxies=["8765-x.colab.example"])
    origin = {"origin": "https://8765-x.colab.example"}
    for host in ("8765-x.colab.example", f"localhost:{PORT}"):
        assert client.get("/api/runs", headers={"host": host}).status_code == 200
        answer = client.post("/api/runs/one/stop", json={}, headers={"host": host, **origin})
        assert "not being trained" in error(answer, 409)
    error(client.get("/api/runs", headers={"host": "other.colab.example"}), 403)


def test_the_address_that_a_server_is_bound_to_is_one_of_its_names() -> None:
    assert "192.0.2.7:9000" in own_hosts(9000, "192.0.2.7") and "[2001:db8::1]:9000" in own_hosts(9000, "2001:db8::1")
    assert "localhost" in own_hosts(80) and "localhost" not in own_hosts(9000)


def test_scripts_are_the_pages_own(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PAGE", tmp_path)
    (tmp_path / "index.html").write_text('<script type="importmap">{}</script><script src="app.js"></script>')
    rules = server.page_rules()
    assert "script-src 'self' 'sha256-RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=';" in rules  # of {}
    sent = client.get("/api/runs").headers
    assert "default-src 'self'" in sent["content-security-policy"] and sent["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "around", ["https://colab.research.google.com", "https://*.googleusercontent.com", "https://*.colab.dev", "'self'"]
)
def test_the_page_may_stand_in_a_notebook(client: TestClient, around: str) -> None:
    """In Colab it is in a frame of googleusercontent.com, and that in the notebook's page: each is checked."""
    rules = client.get("/").headers["content-security-policy"].split("; ")
    assert around in next(rule for rule in rules if rule.startswith("frame-ancestors ")).split()


@pytest.mark.parametrize("place", [PAGE / "vendor", Path(__file__).parent / "vendor"], ids=["page", "tests"])
def test_files_from_others_are_those_that_are_written_down(place: Path) -> None:
    rows = re.findall(r"^\| `([^`]+)` .*`([0-9a-f]{64})` \|$", (place / "VENDORED.md").read_text("utf-8"), re.MULTILINE)
    assert {name for name, _ in rows} == {path.name for path in place.iterdir() if path.suffix in (".js", ".css")}
    for name, digest in rows:
        assert hashlib.sha256((place / name).read_bytes()).hexdigest() == digest
