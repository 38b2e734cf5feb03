"""What the page plays with is what the generator makes, for the same seed, number, label and truncation."""

import base64
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from runs import untrained
from starlette.testclient import TestClient
from studios import Ask, error

import gannet
from gannet.generation.load import load
from gannet.networks import GENERATORS
from gannet.networks.folder import save_network
from gannet.noise import normal
from gannet.studio import play
from gannet.studio.play import NUMBERS, Player, pooled
from gannet.studio.security import Limit, Refused
from gannet.studio.server import House


def pixels(address: str) -> np.ndarray:
    """The image in a data address, `[C, R, R]`."""
    data = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data))).transpose(2, 0, 1)


@pytest.fixture
def client(ask: Ask, trained: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setenv("GANNET_CACHE", str(trained.parent / "cache"))
    return ask(trained)


def test_samples_are_those_of_the_generator(client: TestClient, trained: Path) -> None:
    found = client.get("/api/runs/small/sample?seed=3&num=5").json()
    G = load(trained / "small")
    expected = G.to_uint8(G.sample(5, seed=3))
    assert [pixels(image).tolist() for image in found["images"]] == expected.tolist()
    assert found["z_seeds"] == [3 * NUMBERS + i for i in range(5)] and "ratings" not in found
    assert found["labels"] == ["circle", "square", "circle", "square", "circle"]


def test_labels_and_truncation_are_those_of_the_generator(client: TestClient, trained: Path) -> None:
    found = client.get("/api/runs/small/sample?num=2&label=square&truncation=0.5").json()
    G = load(trained / "small")
    expected = G.to_uint8(G.sample(2, labels="square", truncation=0.5))
    assert [pixels(image).tolist() for image in found["images"]] == expected.tolist()
    assert found["labels"] == ["square", "square"]


def test_a_threshold_keeps_those_that_d_takes_for_real(client: TestClient, trained: Path) -> None:
    G = load(trained / "small")
    c = G.one_hot(G.label_numbers(64, None))
    rated = G.discriminator().realness(G.images(G.z(0, 0, 64), c), c).numpy()
    threshold = float(np.sort(rated)[-4]) - 1e-6
    found = client.get(f"/api/runs/small/sample?num=4&threshold={threshold}").json()
    assert found["z_seeds"] == np.flatnonzero(rated >= threshold).tolist() and found["drawn"] == 64
    assert found["ratings"] == pytest.approx(rated[rated >= threshold].round(4).tolist())
    none = client.get("/api/runs/small/sample?num=4&threshold=1").json()
    assert (none["images"], none["drawn"]) == ([], play.MOST_DRAWN)


def test_a_direction_moves_z_by_so_many_steps(client: TestClient, trained: Path) -> None:
    assert client.get("/api/runs/small/directions").json()["num"] == 5  # z has no more
    G = load(trained / "small")
    axes = torch.from_numpy(G.directions(5))
    z = G.z(3, 0, 2) + 1.5 * axes[0] - axes[2]
    expected = G.to_uint8(G.images(z, G.one_hot(G.label_numbers(2, None))))
    found = client.get("/api/runs/small/sample?seed=3&num=2&directions=0:1.5,2:-1,1:0").json()
    assert [pixels(image).tolist() for image in found["images"]] == expected.tolist()


def test_directions_change_the_first_layer_most(trained: Path) -> None:
    G = load(trained / "small")
    axes = G.directions(5)
    layer = next(m for m in G.network.modules() if isinstance(m, torch.nn.ConvTranspose2d))
    weight = layer.weight.detach().flatten(1)[:5].double()  # the rows of z; those of the label come after
    values, vectors = np.linalg.eigh((weight @ weight.T).numpy())
    np.testing.assert_allclose(np.abs(axes @ vectors[:, ::-1]), np.eye(5), atol=1e-4)
    moved = [float((torch.from_numpy(axis).double() @ weight).norm() ** 2) for axis in axes]
    np.testing.assert_allclose(moved, values[::-1], rtol=1e-4)


def styled(folder: Path) -> Path:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"z_dim": 6, "w_dim": 8, "mapping_layers": 2, "channel_base": 64, "channel_max": 8}
    config = {"name": "stylegan2", "resolution": 16, "channels": 3, "classes": [], "settings": settings}
    save_network(folder / "generator", GENERATORS.find("stylegan2")(16, 3, 0, **settings), config)
    (folder / "recipe.toml").write_text('name = "stylegan2"\n')
    return folder


def test_a_generator_with_a_w_is_moved_there(ask: Ask, tmp_path: Path) -> None:
    G = load(styled(tmp_path / "runs" / "styled"))
    axes = torch.from_numpy(G.directions(3))
    w = G.w(G.z(0, 0, 2), G.one_hot(G.label_numbers(2, None)))
    np.testing.assert_allclose(G.images_of(w).numpy(), G.sample(2).numpy(), atol=1e-6)
    expected = G.to_uint8(G.images_of(w + 2 * axes[1]))
    found = ask().get("/api/runs/styled/sample?num=2&directions=1:2").json()
    assert [pixels(image).tolist() for image in found["images"]] == expected.tolist()
    assert (expected != G.to_uint8(G.sample(2))).any()


def test_a_walk_begins_and_ends_at_its_samples(client: TestClient) -> None:
    found = client.get("/api/runs/small/sample?seed=3&num=3&label=circle").json()
    walk = client.get(
        f"/api/runs/small/walk?a={found['z_seeds'][0]}&b={found['z_seeds'][2]}&steps=5&label=circle"
    ).json()
    ends = [pixels(image) for image in walk["images"]]
    assert len(ends) == 5
    for end, image in ((ends[0], found["images"][0]), (ends[-1], found["images"][2])):
        assert np.abs(end.astype(int) - pixels(image)).max() <= 1
    assert pixels(walk["strip"]).shape[2] > 5 * 16


def test_nearest_images_are_of_the_training_data_and_in_order(
    client: TestClient, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = client.get("/api/runs/small/nearest?seed=1000002&num=3").json()
    distances = [near["distance"] for near in found["nearest"]]
    assert distances == sorted(distances) and 0 < distances[0] < 1
    assert found["nearest"][0]["name"].startswith(("circle/", "square/"))
    house = House.of(trained, [])
    player = Player(house.runs, house.data)
    dataset, _ = player.dataset(trained / "small")
    monkeypatch.setattr(Player, "one", lambda self, *asked: dataset.images[77])
    again = player.nearest(trained / "small", 0, None, None, 1)["nearest"][0]
    assert again["distance"] == 0 and again["name"] == dataset.names[77]


def test_pooled_pixels_are_means_of_squares() -> None:
    image = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    expected = image[0, 0].reshape(8, 2, 8, 2).mean((1, 3))
    assert np.abs(pooled(image)[0, 0] - expected).max() <= 0.5
    assert pooled(np.full((2, 3, 20, 20), 9, np.uint8)).tolist() == np.full((2, 3, 8, 8), 9).tolist()


def test_images_that_are_elsewhere_are_not_looked_at(
    client: TestClient, trained: Path, tmp_path: Path, ask: Ask
) -> None:
    run = tmp_path / "runs" / "moved"
    shutil.copytree(trained / "small", run)
    recipe = run / "recipe.toml"
    for source in ("/etc", "hf://owner/name", "mnist", "../../elsewhere"):
        recipe.write_text((trained / "small" / "recipe.toml").read_text().replace('"shapes-labelled"', f'"{source}"'))
        assert "--data" in error(ask().get("/api/runs/moved/nearest?seed=1"), 400)
    recipe.write_text((trained / "small" / "recipe.toml").read_text().replace("labels = true", "labels = false"))
    assert "not those" in error(ask().get("/api/runs/moved/nearest?seed=1"), 400)


def test_a_latent_is_the_noise_of_its_seed_and_number(client: TestClient, trained: Path) -> None:
    answer = client.get("/api/runs/small/latent?seed=3000002")
    row = np.load(io.BytesIO(answer.content), allow_pickle=False)
    assert row[:, :5].tolist() == normal(3, gannet.noise.Stream.SAMPLE, 2, 1, 5).tolist()
    assert row[:, 5:].tolist() == [[1, 0]] and row.dtype == np.float32  # number 2 is a circle
    assert answer.headers["content-disposition"] == 'attachment; filename="z3000002.npy"'
    moved = np.load(io.BytesIO(client.get("/api/runs/small/latent?seed=3000002&directions=1:2").content))
    shift = 2 * load(trained / "small").directions(2)[1:]
    np.testing.assert_allclose(moved - row, np.pad(shift, ((0, 0), (0, 2))), atol=1e-6)


def drawn_again(client: TestClient, run: Path, asked: str, number: int, out: Path, **options: Any) -> np.ndarray:
    """What `gannet sample --latents` makes of the latent that the page saves."""
    answer = client.get(f"/api/runs/{run.name}/latent?seed={3 * NUMBERS + number}&{asked}")
    assert answer.status_code == 200, answer.text
    file = out / answer.headers["content-disposition"].split('"')[1]
    file.write_bytes(answer.content)
    found = gannet.sample(run, latents=file, out=out / "again", **options)
    return np.asarray(Image.open(found.files[0])).transpose(2, 0, 1)


@pytest.mark.parametrize("label", ["", "label=square"])
@pytest.mark.parametrize("truncation", [None, 0.5])
@pytest.mark.parametrize("directions", ["", "directions=0:1.5,2:-1"])
def test_a_latent_draws_again_what_was_shown(
    client: TestClient, trained: Path, tmp_path: Path, label: str, truncation: float | None, directions: str
) -> None:
    asked = "&".join(filter(None, (label, f"truncation={truncation}" if truncation else "", directions)))
    shown = client.get(f"/api/runs/small/sample?seed=3&num=2&{asked}").json()["images"]
    for number in (0, 1):
        again = drawn_again(client, trained / "small", asked, number, tmp_path, truncation=truncation)
        assert again.tolist() == pixels(shown[number]).tolist()


@pytest.mark.parametrize("truncation", ["", "truncation=0.5&"])
def test_a_w_that_was_moved_is_saved_as_w(ask: Ask, tmp_path: Path, truncation: str) -> None:
    run, asked = styled(tmp_path / "runs" / "styled"), f"{truncation}directions=1:2"
    shown = ask().get(f"/api/runs/styled/sample?seed=3&num=1&{asked}").json()["images"]
    assert drawn_again(ask(), run, asked, 0, tmp_path).tolist() == pixels(shown[0]).tolist()
    assert np.load(tmp_path / "w3000000.npy").ndim == 3
    still = ask().get("/api/runs/styled/sample?seed=3&num=1&truncation=0.5").json()["images"]
    assert drawn_again(ask(), run, "", 0, tmp_path, truncation=0.5).tolist() == pixels(still[0]).tolist()


def test_an_export_is_a_file_that_loads_and_leaves_nothing_behind(
    client: TestClient, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    answer = client.get("/api/runs/small/export?to=safetensors")
    (tmp_path / "model.safetensors").write_bytes(answer.content)
    G, exported = load(trained / "small"), load(tmp_path / "model.safetensors")
    assert torch.equal(G.sample(2), exported.sample(2))
    assert list(tmp_path.glob("gannet-*")) == []
    assert answer.headers["content-disposition"] == 'attachment; filename="small.safetensors"'


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("num=0", "num"),
        ("num=65", "num"),
        ("seed=-1", "seed"),
        ("seed=9007199255", "seed"),
        ("label=triangle", "triangle"),
        ("threshold=2", "threshold"),
        ("truncation=0", "truncation"),
        ("directions=x", "no direction"),
        ("directions=99:1", "numbered"),
        ("directions=7:1", "5 directions"),
        ("directions=0:nan", "steps"),
    ],
)
def test_what_cannot_be_sampled_is_told_in_one_line(client: TestClient, query: str, says: str) -> None:
    assert says in error(client.get(f"/api/runs/small/sample?{query}"), 400)


def test_a_run_without_a_generator_and_one_that_translates_say_so(ask: Ask, tmp_path: Path) -> None:
    for run in (tmp_path / "runs" / "empty", untrained(tmp_path / "runs" / "translates", "unet")):
        run.mkdir(parents=True, exist_ok=True)
        (run / "recipe.toml").write_text('name = "x"\n')
    assert "has no generator" in error(ask().get("/api/runs/empty/sample"), 404)
    assert "images of images" in error(ask().get("/api/runs/translates/sample"), 400)


def test_damaged_weights_and_code_of_ones_own_are_not_loaded(ask: Ask, trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "odd"
    shutil.copytree(trained / "small", run)
    config = run / "generator" / "config.json"
    text = config.read_text()
    config.write_text(text.replace('"name": "dcgan"', '"name": "os:system"'))
    assert "your own code" in error(ask().get("/api/runs/odd/sample"), 400)
    config.write_text(text)
    weights = run / "generator" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert "damaged" in error(ask().get("/api/runs/odd/sample"), 400)


def test_new_weights_are_loaded_and_old_ones_kept(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "runs" / "one"
    shutil.copytree(trained / "small", run)
    house, loads = House.of(tmp_path / "runs", []), []
    player = Player(house.runs, house.data)
    read: Callable[..., Any] = play.load
    monkeypatch.setattr(play, "load", lambda path: (loads.append(path), read(path))[1])
    for _ in range(3):
        player.sample(run, num=1)
    assert len(loads) == 1
    (run / "generator" / "model.safetensors").touch()
    player.sample(run, num=1)
    assert len(loads) == 2


def test_no_more_is_made_at_once_than_is_allowed() -> None:
    limit = Limit(2, "others are being made")
    with limit(), limit():
        with pytest.raises(Refused, match="in a moment") as refused, limit():
            pass
        assert refused.value.code == 503
    with limit():
        pass
