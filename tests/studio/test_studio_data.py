"""What is shown of images to train on, and what may not be looked at."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from studios import Ask, error

from gannet import api
from gannet.studio.data import Folders
from gannet.studio.security import Refused

Pictures = Callable[..., Path]


@pytest.fixture
def images(pictures: Pictures) -> Path:
    return pictures(num=6, classes=("cat", "dog"))


def test_a_folder_is_inspected_as_the_command_does(images: Path, ask: Ask, tmp_path: Path) -> None:
    (images / "cat" / "broken.png").write_bytes(b"no image")
    client = ask(data=[tmp_path])
    found = client.get("/api/data", params={"path": "pictures"}).json()
    expected = api.inspect(images, tmp_path / "sheet.png").to_dict()
    sheet = client.get(found.pop("sheet"))
    assert sheet.content == (tmp_path / "sheet.png").read_bytes() and Image.open(io.BytesIO(sheet.content)).width >= 256
    assert found.pop("path") == str(images) and expected.pop("sheet")
    assert found == json.loads(json.dumps(expected))
    assert found["scan"]["classes"] == {"cat": 3, "dog": 3} and found["recommended"]["recipe"] == "small"
    assert len(found["scan"]["unreadable"]) == 1
    error(client.get("/api/data/sheets/other.png"), 404)


def test_what_can_be_chosen_is_listed(images: Path, ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (images / "cat" / "000.png").rename(tmp_path / "deep" / "er" / "0.png")
    (tmp_path / ".hidden").mkdir()
    os.symlink("/", tmp_path / "link")
    for file in ("packed.ZIP", "deep/one.zip", "deep/er/two.zip", ".hidden.zip", "pictures/notes.txt"):
        (tmp_path / file).write_bytes(b"")
    os.symlink(tmp_path / "packed.ZIP", tmp_path / "link.zip")
    found = ask(data=[tmp_path]).get("/api/data").json()
    assert [Path(path).relative_to(tmp_path).as_posix() for path in found["sources"]] == [
        "packed.ZIP", "deep/one.zip", "deep/er", "deep/er/two.zip", "pictures", "pictures/cat", "pictures/dog",
    ]  # fmt: skip
    assert found["elsewhere"] is None
    assert "shapes" in found["drawn"] and {"small", "dcgan"} <= {each["name"] for each in found["recipes"]}


def offered(ask: Ask, *data: Path, runs: Path) -> list[str]:
    return ask(runs, data=data).get("/api/data").json()["sources"]


def test_folders_beside_the_runs_are_offered_in_place_of_what_holds_them(
    images: Path, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stray.png").write_bytes((images / "cat" / "000.png").read_bytes())
    expected = ["pictures", "pictures/cat", "pictures/dog"]
    assert offered(ask, runs=Path("runs")) == expected
    assert offered(ask, tmp_path, runs=Path("runs")) == expected  # once each
    assert offered(ask, images, runs=Path("runs")) == [
        f"{images}{below}" for below in ("", "/cat", "/dog")
    ]  # and nothing that lies outside
    images.rename(tmp_path / ".pictures")
    assert offered(ask, runs=Path("runs")) == ["."]


def test_images_beside_runs_that_lie_deep_are_offered(images: Path, ask: Ask, tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c" / "d" / "e"
    deep.mkdir(parents=True)
    images.rename(deep / "pictures")
    assert f"{deep}/pictures" in offered(ask, tmp_path, runs=deep / "runs")
    assert offered(ask, tmp_path, runs=tmp_path / "runs") == []


@pytest.mark.parametrize(
    "name", ["/", "/etc", "..", "../..", "pictures/../..", "~", "link", "-x", "hf://a/b", "s3://x/y.tar", "no\0pe"]
)
def test_nothing_else_is_looked_at(images: Path, tmp_path: Path, ask: Ask, name: str) -> None:
    os.symlink("/etc", tmp_path / "link")
    folders = Folders([tmp_path], tmp_path / "runs")
    with pytest.raises(Refused, match="--data"):
        folders.allowed(name)
    assert folders.allowed("pictures") == str(images) and folders.allowed("shapes") == "shapes"


@pytest.mark.parametrize("name", ["picture", "pictures/bird", "{here}/nothing", "pictures/../nothing.zip"])
def test_what_is_not_there_is_said_not_to_be(images: Path, tmp_path: Path, ask: Ask, name: str) -> None:
    name = name.format(here=tmp_path)
    answer = ask(data=[tmp_path]).get("/api/data", params={"path": name})
    assert f"there is no folder, zip or set '{name}'" in error(answer, 404)


def test_what_lies_outside_is_refused_alike_whether_it_is_there_or_not(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "images").mkdir()
    for link in ("kept", "nothing"):
        os.symlink(tmp_path / link, tmp_path / "images" / f"to-{link}")
    client = ask(data=[tmp_path / "images"])
    for form in ("{}", "../{}", f"{tmp_path}/{{}}", "to-{}"):
        names = [form.format(name) for name in ("kept", "nothing")]
        answers = [client.get("/api/data", params={"path": name}) for name in names]
        told = [answer.text.replace(name, "NAME") for name, answer in zip(names, answers, strict=True)]
        assert answers[0].status_code == answers[1].status_code and "NAME" in told[0]
        assert told[0] == told[1]


def test_a_folder_without_images_is_told_in_one_line(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty" in error(ask(data=[tmp_path]).get("/api/data?path=empty"), 400)
