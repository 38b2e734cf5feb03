"""A user's own extractors: ONNX files made node by node, and functions in modules of a test's own."""

import builtins
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from gannet.errors import UserError
from gannet.evaluation.custom import Onnx
from gannet.evaluation.extractors import open_extractor
from gannet.evaluation.weights import sha256_of

Dim = str | int
MEANS = """
def means(x):
    assert x.shape[1:] == (3, 5, 6) and str(x.dtype) == "torch.uint8"
    return x.double().mean((2, 3)).numpy()

def flat(x):
    return x.flatten(2)

def nans(x):
    return x.float().mean((2, 3)) / 0 * 0

def fails(x):
    def inner():
        raise KeyError("layer4")
    inner()

def nothing(x):
    return None
"""


def noise(num: int, height: int = 5, width: int = 6) -> np.ndarray:
    return np.random.Generator(np.random.Philox(1)).integers(0, 256, (num, 3, height, width), np.uint8)


@pytest.fixture
def network(tmp_path: Path) -> Callable[..., Path]:
    """Writes an ONNX file whose features are the channels' means times a matrix."""

    def write(
        shape: Sequence[Dim] = ("N", 3, 4, 8),
        kind: int = TensorProto.FLOAT,
        num_outputs: int = 1,
        external: bool = False,
        factor: float = 1.0,
    ) -> Path:
        matrix = np.diag(factor * np.arange(1, int(shape[1]) + 1)).astype(np.float32)
        nodes = [
            helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["float"], ["means"], axes=[2, 3], keepdims=0),
            helper.make_node("MatMul", ["means", "matrix"], ["features"]),
            helper.make_node("Neg", ["features"], ["negative"]),
        ]
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("features", "negative")]
        inputs = [helper.make_tensor_value_info("x", kind, shape)]
        graph = helper.make_graph(
            nodes, "means", inputs, outputs[:num_outputs], [numpy_helper.from_array(matrix, "matrix")]
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        path = tmp_path / "means.onnx"
        onnx.save(model, path, save_as_external_data=external, location="means.data", size_threshold=0)
        return path

    return write


@pytest.mark.parametrize(("kind", "white"), [(TensorProto.FLOAT, 1.0), (TensorProto.UINT8, 255.0)])
def test_an_onnx_file_gets_images_at_its_size_and_in_its_range(
    kind: int, white: float, network: Callable[..., Path], tmp_path: Path
) -> None:
    extract = open_extractor(str(network(kind=kind)), "cpu", tmp_path)
    images = np.full((53, 3, 9, 5), 255, np.uint8)
    images[1] = 0
    features = extract(images)
    assert features.shape == (53, 3) and features.dtype == torch.float32
    assert features[1].tolist() == [0, 0, 0]
    assert features[0].tolist() == features[52].tolist() == pytest.approx([white, 2 * white, 3 * white])


def test_its_protocol_has_the_hash_of_the_file(network: Callable[..., Path]) -> None:
    path = network()
    assert Onnx(path).protocol == {
        "extractor": "means.onnx",
        "weights": sha256_of(path)[:16],
        "layer": "features",
        "resize": "8x4 bicubic, antialiased",
        "colours": "grey repeated; alpha over white",
    }
    before = Onnx(path).protocol["weights"]
    assert Onnx(network(factor=2.0)).protocol["weights"] != before


def test_of_a_free_size_images_come_as_they_are(network: Callable[..., Path]) -> None:
    extract = Onnx(network(("N", 3, "H", "W")))
    assert extract.protocol["resize"] == "none"
    images = noise(3)
    assert extract(images).numpy() == pytest.approx(images.mean((2, 3)) / 255 * [1, 2, 3], rel=1e-5)


def test_a_file_may_take_one_image_at_once(network: Callable[..., Path]) -> None:
    found = Onnx(network((1, 3, 4, 8)))(noise(3))
    assert found.shape == (3, 3) and torch.allclose(found, Onnx(network())(noise(3)))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"shape": ("N", 1, 4, 8)}, r"takes tensor\(float\) \['N', 1, 4, 8\]: an extractor takes"),
        ({"kind": TensorProto.DOUBLE}, r"takes tensor\(double\)"),
        ({"shape": (8, 3, 4, 8)}, "takes 8 images at once: export it with a free number of images"),
        ({"num_outputs": 2}, "has 1 inputs and 2 outputs"),
    ],
)
def test_an_onnx_file_of_another_kind_is_one_line(
    options: dict[str, Any], says: str, network: Callable[..., Path]
) -> None:
    with pytest.raises(UserError, match=says) as caught:
        Onnx(network(**options))
    assert "\n" not in str(caught.value)


def test_an_input_that_is_no_image_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "flat.onnx"
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["features"])],
        "flat",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 48])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, None)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    with pytest.raises(UserError, match=r"takes tensor\(float\) \['N', 48\]: an extractor takes"):
        Onnx(path)


@pytest.mark.parametrize("content", [b"", b"not a network", None])
def test_what_is_no_onnx_file_is_one_line(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.onnx") as caught:
        open_extractor(str(path), "cpu", tmp_path)
    assert "\n" not in str(caught.value)


def test_weights_in_a_second_file_are_refused(
    network: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hash would say nothing of them. Where the file lies must not matter."""
    path = network(external=True)
    assert (tmp_path / "means.data").exists()
    for folder in (tmp_path, tmp_path.parent):
        monkeypatch.chdir(folder)
        with pytest.raises(UserError, match="weights in a second file are not read: export it as one"):
            Onnx(path)


def test_a_run_that_fails_is_one_line(network: Callable[..., Path]) -> None:
    extract = Onnx(network(("N", 3, "H", 8)))
    with pytest.raises(UserError, match=r"^extractor means\.onnx fails with ") as caught:
        extract(noise(2))
    assert "\n" not in str(caught.value)


def test_without_onnxruntime_one_line_says_what_to_install(
    network: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, found = network(), builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError(name)
        return found(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r'pip install "gannet-gan\[onnx\]"$'):
        Onnx(path)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "my_extractors.py"
    path.write_text(MEANS)
    monkeypatch.delitem(sys.modules, "my_extractors", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return path


def test_code_is_given_uint8_and_its_file_is_in_the_protocol(module: Path, tmp_path: Path) -> None:
    extract = open_extractor("my_extractors:means", "cpu", tmp_path, allow_code=True)
    images = noise(60)
    assert extract(images).numpy() == pytest.approx(images.mean((2, 3)), rel=1e-6)
    assert extract.protocol == {
        "extractor": "my_extractors:means",
        "weights": f"code {sha256_of(module)[:16]}, and what it loads",
        "layer": "what it gives",
        "resize": "its own",
        "colours": "grey repeated; alpha over white",
    }


def test_code_is_imported_only_where_it_is_allowed(module: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'my_extractors:means' is code of your own: allow it with --allow-code"):
        open_extractor("my_extractors:means", "cpu", tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import numpy\nnumpy.zeros(-1)\n", r"broken_extractors\.py:2 fails with ValueError: negative"),
        ("def f(:\n", r"fails with SyntaxError: .*broken_extractors\.py, line 1"),
    ],
)
def test_code_that_cannot_be_imported_is_one_line_that_says_where(
    text: str, says: str, module: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken_extractors.py").write_text(text)
    with pytest.raises(UserError, match=f"^extractor broken_extractors:f cannot be imported: .*{says}"):
        open_extractor("broken_extractors:f", "cpu", tmp_path, allow_code=True)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("flat", r"my_extractors:flat gives features \[2, 3, 30\] of 2 images, and must give \[2, d\]"),
        ("nans", "my_extractors:nans gives features that are NaN or infinite, of 2 of 2 images"),
        ("fails", r"my_extractors:fails fails at \S+/my_extractors\.py:14 with KeyError: 'layer4'$"),
        ("nothing", "my_extractors:nothing fails with "),
    ],
)
def test_code_that_gives_nothing_to_measure_is_one_line(name: str, says: str, module: Path, tmp_path: Path) -> None:
    extract = open_extractor(f"my_extractors:{name}", "cpu", tmp_path, allow_code=True)
    with pytest.raises(UserError, match=says) as caught:
        extract(noise(2))
    assert "\n" not in str(caught.value)
