"""The service: what it answers, what it refuses, and how it ends."""

import asyncio
import base64
import dataclasses
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clips import save_run
from fastapi.testclient import TestClient
from PIL import Image
from runs import of_g, untrained

import gannet
from gannet.cli import main
from gannet.errors import UserError
from gannet.generation.export import export
from gannet.generation.onnx import OnnxGenerator
from gannet.generation.sampler import Sampler
from gannet.images import grid, png, to_pil
from gannet.networks import GENERATORS
from gannet.networks.folder import save_network
from gannet.parts import facts_for
from gannet.serving import app, server
from gannet.serving.app import Service
from gannet.serving.server import listening, serve
from gannet.serving.worker import BusyError, Job, Worker, shares_of

V0_1 = Path(__file__).parents[1] / "generation" / "fixtures" / "v0.1"
CLASSES = ("day", "night")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(V0_1, to="onnx", out=tmp_path_factory.mktemp("onnx") / "model.onnx").file


def sampler(path: Path) -> Sampler:
    G = gannet.load(path)
    assert isinstance(G, Sampler)
    return G


def pixels(G: Sampler, num: int, seed: int, label: int | str | None = None, **more: Any) -> np.ndarray:
    """What `gannet sample` has."""
    return G.to_uint8(G.sample(num, seed, label, **more))


@pytest.fixture(params=["torch", "onnx"])
def G(request: pytest.FixtureRequest, model: Path) -> Sampler:
    return sampler(V0_1 if request.param == "torch" else model)


@pytest.fixture
def worker(G: Sampler) -> Iterator[Worker]:
    worker = Worker(G, batch=16, queue=64)
    yield worker
    if worker.thread.is_alive():
        worker.close(5)


@pytest.fixture
def client(G: Sampler) -> Iterator[TestClient]:
    with TestClient(
        Service(G, Worker(G, batch=16, queue=64), "fixture").app(), raise_server_exceptions=False
    ) as client:
        yield client


def watched(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each forward has."""
    sizes: list[int] = []
    make = worker.make

    def noted(shares: Any) -> np.ndarray:
        sizes.append(sum(share.num for share in shares))
        return make(shares)

    monkeypatch.setattr(worker, "make", noted)
    return sizes


def levels(one: np.ndarray, other: np.ndarray, G: Sampler) -> bool:
    """Whether they are the same: to the last bit by onnxruntime, within a level by torch."""
    apart = np.abs(one.astype(int) - other).max()
    return one.shape == other.shape and apart <= (0 if isinstance(G, OnnxGenerator) else 1)


def test_an_image_is_the_same_alone_and_in_company(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever else asks, and as gannet sample has it."""
    G, sizes = worker.G, watched(worker, monkeypatch)
    asked = [(seed, num, seed % 2) for seed, num in enumerate([1, 5, 1, 2, 17, 3])]
    made = [worker.ask(seed, np.full(num, label), None) for seed, num, label in asked]
    assert worker.waiting == 29
    worker.start()
    together = [future.result(20) for future in made]
    assert sizes == [16, 13]
    for (seed, num, label), images in zip(asked, together, strict=True):
        assert levels(images, worker.ask(seed, np.full(num, label), None).result(20), G)
        assert levels(images, pixels(G, num, seed, label), G)
    assert worker.waiting == 0 and len({images.tobytes() for images in together}) == len(asked)


@pytest.mark.parametrize("name", GENERATORS.rows)
def test_onnxruntime_computes_the_same_bits_in_every_company(name: str, tmp_path: Path) -> None:
    """Of every network: image 5 of a seed alone, and in forwards of other sizes, at other places."""
    torch.manual_seed(1)
    size, frames = 32 if name in ("biggan", "biggan-deep", "fastgan") else 16, 3 if name == "dvdgan" else 1
    build = GENERATORS.find(name)
    network = build(size, 3 * frames, 2, **facts_for(build, frames=frames), **of_g(name))
    config = {"name": name, "resolution": size, "channels": 3 * frames, "frames": frames, "classes": ["a", "b"]}
    save_network(tmp_path / "G", network, {**config, "settings": of_g(name)})
    G = sampler(export(tmp_path / "G", to="onnx", out=tmp_path / "G.onnx").file)
    z, c = G.z(4, 0, 12), G.one_hot(np.arange(12) % 2)
    alone = G.images(z[5:6], c[5:6])[0]
    for start, stop in ((5, 7), (4, 7), (0, 6), (3, 11), (0, 12)):
        assert np.array_equal(G.images(z[start:stop], c[start:stop])[5 - start], alone), (start, stop)


def test_truncations_are_not_mixed(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = watched(worker, monkeypatch)
    labels = np.zeros(2, np.int64)
    made = {t: worker.ask(3, labels, t) for t in (None, 0.5, 0.8)}
    again = worker.ask(3, labels, None)
    worker.start()
    assert np.array_equal(made[None].result(20), again.result(20))
    assert levels(made[0.5].result(20), pixels(worker.G, 2, 3, 0, truncation=0.5), worker.G)
    assert not np.array_equal(made[0.5].result(20), made[0.8].result(20))
    assert sizes == [4, 2, 2]


def test_few_truncated_copies_are_kept(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[float] = []

    def counted(G: Any, truncation: float) -> Any:
        built.append(truncation)
        return G

    monkeypatch.setattr(type(worker.G), "truncated", counted)
    for truncation in [*range(1, 9), 1, 9, 1, 2]:
        worker.truncated(float(truncation))
    assert built == [*range(1, 10), 2] and len(worker.copies) == 8


def test_what_does_not_fit_in_the_queue_is_refused_at_once(worker: Worker) -> None:
    for _ in range(3):
        worker.ask(0, np.zeros(20, np.int64), None)
    with pytest.raises(BusyError, match="60 images are waiting already, and at most 64 may"):
        worker.ask(0, np.zeros(5, np.int64), None)
    last = worker.ask(0, np.zeros(4, np.int64), None)
    worker.start()
    assert len(last.result(20)) == 4
    worker.close(5)
    with pytest.raises(BusyError, match="about to end"):
        worker.ask(0, np.zeros(1, np.int64), None)


def test_the_worker_outlives_an_error_and_forgets_who_left(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = type(worker.G).images

    def fails_once(G: Any, z: Any, c: Any, start: int = 0) -> Any:
        monkeypatch.setattr(type(G), "images", plain)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(type(worker.G), "images", fails_once)
    bad, gone, good = (worker.ask(0, np.zeros(num, np.int64), None) for num in (20, 9, 1))
    gone.cancel()
    worker.start()
    with pytest.raises(RuntimeError, match="out of memory"):
        bad.result(20)
    assert len(good.result(20)) == 1 and gone.cancelled()


def test_what_waits_at_the_end_is_told(worker: Worker) -> None:
    job = worker.ask(0, np.zeros(3, np.int64), None)
    worker.closed = True
    worker.start()
    worker.thread.join(5)
    assert job.cancelled()


def test_a_forward_takes_what_waits_in_order() -> None:
    jobs = [Job(seed, np.zeros(num, np.int64), None) for seed, num in enumerate([3, 4, 6])]
    taken = [[(s.job.seed, s.start, s.num) for s in shares_of([j for j in jobs if j.left], 8)] for _ in range(3)]
    assert taken == [[(0, 0, 3), (1, 0, 4), (2, 0, 1)], [(2, 1, 5)], []]


def opened(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def test_png_is_one_image_or_a_grid(client: TestClient, G: Sampler) -> None:
    one = client.get("/sample", params={"seed": 7, "label": "night"})
    assert one.status_code == 200 and one.headers["content-type"] == "image/png"
    assert one.content == png(to_pil(pixels(G, 1, 7, "night")[0]))
    assert client.get("/sample", params={"seed": 7, "label": "1"}).content == one.content
    four = client.get("/sample", params={"num": 4})
    assert np.array_equal(opened(four.content), np.asarray(grid(pixels(G, 4, 0), 2)))
    less = client.get("/sample", params={"num": 1, "truncation": 0.5}).content
    assert less == png(to_pil(pixels(G, 1, 0, truncation=0.5)[0]))


def test_json_has_each_image_with_its_label(client: TestClient, G: Sampler) -> None:
    answer = client.get("/sample", params={"num": 3, "seed": 5, "format": "json"})
    said = answer.json()
    assert (answer.status_code, said["seed"], said["truncation"]) == (200, 5, None)
    assert [(each["number"], each["label"]) for each in said["images"]] == [(0, "day"), (1, "night"), (2, "day")]
    found = [opened(base64.b64decode(each["png"])).transpose(2, 0, 1) for each in said["images"]]
    assert levels(np.stack(found), pixels(G, 3, 5), G)


WRONG = [
    ("num=0", 422, "num is '0', and must be greater than or equal to 1"),
    ("num=1000000000", 422, "num is 1000000000, and must be at most 64"),
    ("num=65", 422, "num is 65, and must be at most 64"),
    ("num=few", 422, "num is 'few', and must be a valid integer"),
    ("num=" + "9" * 5000, 422, "num is '999"),
    ("nmu=3", 422, "there is no parameter 'nmu'; did you mean 'num'?"),
    ("seed=-1", 422, "seed is '-1', and must be greater than or equal to 0"),
    (f"seed={2**63}", 422, "and must be less than"),
    ("label=dusk", 422, "there is no class 'dusk'; choose from: day, night"),
    ("label=2", 422, "there is no class '2'"),
    ("label=" + "x" * 300, 422, "label is 'xxx"),
    ("truncation=-1", 422, "truncation is -1, and must be above 0"),
    ("truncation=nan", 422, "truncation is 'nan', and must be a finite number"),
    ("truncation=much", 422, "truncation is 'much', and must be a valid number"),
    ("format=gif", 422, "format is 'gif', and must be 'png' or 'json'"),
]


@pytest.mark.parametrize(("query", "status", "says"), WRONG)
def test_what_cannot_be_is_one_line_of_json(query: str, status: int, says: str, client: TestClient) -> None:
    answer = client.get(f"/sample?{query}")
    assert answer.status_code == status
    said = answer.json()["error"]
    assert list(answer.json()) == ["error"] and says in said and "\n" not in said and len(said) < 300


def test_other_paths_and_methods_are_json(client: TestClient) -> None:
    assert client.get("/smaple").json() == {"error": "there is no /smaple: /docs says what there is"}
    answer = client.post("/sample")
    assert answer.status_code == 405 and answer.json() == {"error": "method not allowed: /docs says what there is"}


def test_a_full_queue_answers_503(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "waiting", 64)
    answer = client.get("/sample")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
    assert answer.json() == {"error": "64 images are waiting already, and at most 64 may: try again"}


def test_what_is_not_packed_yet_takes_room(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "MOST_HELD", 5 * 16**2)
    service, packing, go_on = Service(worker.G, worker, ""), threading.Event(), threading.Event()
    picture = service.picture

    def slow(images: np.ndarray) -> bytes:
        packing.set()
        go_on.wait(10)
        return picture(images)

    async def ask() -> list[int]:
        first = asyncio.create_task(service.sample(app.Asked(num=4)))
        await asyncio.to_thread(packing.wait, 10)
        refused = await asyncio.wait_for(service.sample(app.Asked(num=2)), 5)
        fits = asyncio.create_task(service.sample(app.Asked(num=1)))
        await asyncio.sleep(0)
        go_on.set()
        return [(await answer).status_code for answer in (first, fits)] + [refused.status_code]

    monkeypatch.setattr(service, "picture", slow)
    worker.start()
    assert asyncio.run(ask()) == [200, 200, 503]
    assert asyncio.run(service.sample(app.Asked(num=6))).status_code == 200, "one is always let in"
    assert service.held == 0


def test_a_failure_is_json(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "make", lambda worker, shares: 1 / 0)
    answer = client.get("/sample")
    assert answer.status_code == 500 and answer.json() == {"error": "the service failed to make this: its log says why"}


def test_health_says_what_is_served(client: TestClient) -> None:
    said = client.get("/health").json()
    facts = {"resolution": 16, "channels": 3, "frames": 1, "classes": ["day", "night"], "most_images": 64}
    assert said == {"status": "ok", "model": "fixture", "gannet": gannet.__version__, **facts, "waiting": 0}


def test_large_images_lower_the_limit(G: Sampler) -> None:
    assert Service(dataclasses.replace(G, resolution=2048), Worker(G, 4, 256), "").most == 4
    assert Service(dataclasses.replace(G, resolution=2048, frames=9), Worker(G, 4, 256), "").most == 1


def test_clips_are_rows_of_frames(G: Sampler) -> None:
    clips = dataclasses.replace(G, frames=3, channels=1)
    images = np.arange(2 * 3 * 16 * 16, dtype=np.uint8).reshape(2, 3, 16, 16)
    expected = grid(images.reshape(6, 1, 16, 16), 3)
    assert np.array_equal(opened(Service(clips, Worker(clips, 4, 4), "").picture(images)), np.asarray(expected))


SERVE = """
import sys, time
from gannet.cli import main
class Block:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "safetensors", "matplotlib"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block)
from gannet.generation.onnx import OnnxGenerator
from gannet.serving import app, server
plain = OnnxGenerator.images
def slow(G, z, c, start=0):
    time.sleep({seconds})
    return plain(G, z, c, start)
OnnxGenerator.images = slow
server.DRAIN, app.PATIENCE = {drain}, 0.2
sys.exit(main(["serve", {model!r}, "--port", "0", "--batch", "1", "--threads", "1"]))
"""


@pytest.fixture
def process(model: Path) -> Iterator[Callable[..., tuple[Any, str]]]:
    """Starts the service without torch, each forward of one image and so slow; the process, and its address."""
    begun: list[Any] = []

    def begin(seconds: float = 0.0, drain: float = 10) -> tuple[Any, str]:
        code = SERVE.format(seconds=seconds, drain=drain, model=str(model))
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        begun.append(subprocess.Popen([sys.executable, "-c", code], **pipes))
        line = begun[-1].stdout.readline()
        assert line.startswith("model.onnx at http://127.0.0.1:"), begun[-1].stderr.read()
        return begun[-1], line.split()[2]

    yield begin
    for each in begun:
        each.kill()
        each.communicate()


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(number: signal.Signals, process: Callable[..., tuple[Any, str]], model: Path) -> None:
    """What was asked for is answered, new requests are refused, and the status is 0. Torch is not there at all."""
    served, address = process(seconds=0.3)
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(get, f"{address}/sample?seed={seed}") for seed in range(4)]
        while json.loads(get(f"{address}/health")[1])["waiting"] < 3:
            time.sleep(0.02)
        served.send_signal(number)
        time.sleep(0.3)
        with pytest.raises(urllib.error.URLError, match="refused"):
            get(f"{address}/sample")
        G = sampler(model)
        assert [a.result() for a in answers] == [(200, png(to_pil(pixels(G, 1, seed)[0]))) for seed in range(4)]
    assert served.wait(10) == 0
    assert served.stderr.read() == ""


def test_the_end_does_not_wait_for_ever(process: Callable[..., tuple[Any, str]]) -> None:
    served, address = process(seconds=2.5, drain=0.2)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(get, f"{address}/sample?num=9")
        time.sleep(0.3)
        began = time.monotonic()
        served.terminate()
        assert served.wait(10) == 0 and time.monotonic() - began < 2
        with pytest.raises((OSError, AssertionError)):
            assert answer.result()[0] == 200


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--port 99999", "--port is 99999, and must be from 0 to 65535"),
        ("--batch 0", "--batch is 0, and must be from 1 to 4096"),
        ("--queue 0", "--queue is 0, and must be from 1 to 1000000"),
        ("--threads -1", "--threads is -1, and must be at least 0"),
        ("--host no.such.host.invalid", "cannot listen at no.such.host.invalid, port 8000 ("),
        ("--device tpu", "not on 'tpu'"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    words: str, says: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(model), *words.split()]) == 2
    said = capsys.readouterr().err
    assert said.startswith("gannet: ") and said.count("\n") == 1 and says in said


def test_a_port_that_is_taken_is_one_line(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", str(model), "--port", str(port)]) == 2
    assert f"cannot listen at 127.0.0.1, port {port} (" in capsys.readouterr().err


def test_other_networks_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(untrained(tmp_path / "run", "unet"))]) == 2
    assert "makes images of images, not of noise" in capsys.readouterr().err
    assert main(["serve", str(save_run(tmp_path / "clips", given=2))]) == 2
    assert "gannet: clips cannot be served: this generator goes on from first frames" in capsys.readouterr().err
    assert main(["serve", str(tmp_path / "nothing")]) == 2
    assert "there is no run and no generator at" in capsys.readouterr().err


def test_the_extra_is_named(model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "gannet.serving.server", None)
    assert main(["serve", str(model)]) == 2
    said = capsys.readouterr().err
    assert said == "gannet: gannet serve needs the packages fastapi and uvicorn: pip install 'gannet-gan[serve]'\n"


@pytest.mark.parametrize(("host", "warns"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)])
def test_other_hosts_are_warned_of(
    host: str, warns: bool, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server.Server, "run", lambda self, sockets: [each.close() for each in sockets])
    serve(sampler(model), "model", host, 0, 64, 256)
    said = capsys.readouterr().err
    assert ("whoever reaches 0.0.0.0 can use this service: there is no password" in said) == warns


def test_an_address_of_version_6_can_be_had() -> None:
    try:
        with listening("::1", 0) as opened:
            assert opened.getsockname()[0] == "::1"
    except UserError as error:  # a machine without it
        assert "cannot listen at ::1" in str(error)
