"""Generators as ONNX and TorchScript: equal to the method at any batch and size, for each kind of network."""

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vsbench.cli.export import export
from vsbench.data.decode import read_rgb
from vsbench.engine.translate import translate_image
from vsbench.errors import RunError, UsageError
from vsbench.exchange.graphs import Graph, declare_free, frozen_by, require_equal, write_onnx, write_torchscript
from vsbench.registry import names

KINDS = {  # of networks and norms, each by the smallest that has it
    "instance": ("cut", {}),
    "spectral": ("usigan", {"variant": "released"}),  # whose power iteration goes on in translation
    "image_batch": ("pix2pix", {"width": 8}),  # batch norm on each image's own statistics, in a U-Net
    "running_batch": ("pix2pix", {"width": 8, "test_mode": "running_statistics"}),
    "sampled": ("unsb", {}),
}


def he(side: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_torchscript_equals_the_method(kind: str, tiny: Any, tmp_path: Path) -> None:
    name, settings = KINDS[kind]
    write_torchscript(Graph(tiny(name, **settings)), tmp_path / "g.pt")
    assert (tmp_path / "g.pt").is_file()


@pytest.mark.parametrize("kind", ["instance", "image_batch", "sampled"])
def test_frozen_statistics_make_a_tile_what_it_is_in_the_image(kind: str, tiny: Any, tmp_path: Path) -> None:
    name, settings = KINDS[kind]
    method = tiny(name, **settings)
    graph = Graph(method, frozen_by(method, [he(64), he(64, 1)]))
    write_torchscript(graph, tmp_path / "g.pt")
    assert graph.card["statistics"] == "frozen, of 2 images"


def test_frozen_tiles_do_not_jump(tiny: Any, tmp_path: Path) -> None:
    method = tiny("cut")
    write_torchscript(Graph(method, frozen_by(method, [he(64)])), tmp_path / "g.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # later releases of torch call TorchScript deprecated, the oldest do not
        loaded = torch.jit.load(str(tmp_path / "g.pt"))
    image = 2 * torch.rand(1, 3, 128, 128) - 1
    with torch.inference_mode():
        whole, part = loaded(image), loaded(image[..., :96, :96])
        own = method.translate(image), method.translate(image[..., :96, :96])
    inside = (..., slice(0, 32), slice(0, 32))
    assert torch.allclose(whole[inside], part[inside], atol=1e-5)
    assert not torch.allclose(own[0][inside], own[1][inside], atol=1e-3)


@pytest.mark.parametrize(("name", "option"), [("x.onnx", "--onnx"), ("x.pt", "--torchscript")])
def test_a_graph_without_its_option_is_told_the_option(name: str, option: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{name}: no name of a bundle.*add {option} for a graph"):
        export(tmp_path / "run", tmp_path / name)


def test_nothing_to_freeze_is_said(tiny: Any) -> None:
    with pytest.raises(UsageError, match="nothing to freeze"):
        frozen_by(tiny("pix2pix", width=8, test_mode="running_statistics"), [he(64)])


def test_another_output_is_found(tiny: Any, tmp_path: Path) -> None:
    graph = Graph(tiny("cut"))
    network = graph.module()
    require_equal(graph, lambda given: network(*given), tmp_path)
    with pytest.raises(RunError, match=r"differs from CUT by 0\.63\d levels"):
        require_equal(graph, lambda given: network(*given) + 0.005, tmp_path)
    with pytest.raises(RunError, match=r"mean 0\.0002"):
        require_equal(graph, lambda given: network(*given) + 0.0002, tmp_path)


def test_a_place_that_is_not_ours_is_left_alone(tiny: Any, tmp_path: Path) -> None:
    graph = Graph(tiny("cut"))
    (tmp_path / "mine.pt").write_text("mine")
    with pytest.raises(RunError, match="not written by vsbench"):
        write_torchscript(graph, tmp_path / "mine.pt")
    with pytest.raises(UsageError, match=r"ends in \.pt"):
        write_torchscript(graph, tmp_path / "g.onnx")


@pytest.mark.skipif(not os.environ.get("EVERY_EXPORT"), reason="takes minutes; make test-exports runs it")
@pytest.mark.parametrize("name", names("vsbench.methods"))
def test_every_method_is_exported(name: str, tiny: Any, tmp_path: Path) -> None:
    graph = Graph(tiny(name))
    write_torchscript(graph, tmp_path / "g.pt")
    write_onnx(graph, tmp_path / "g.onnx")


def test_onnx_tells_that_its_sides_are_free() -> None:
    helper = pytest.importorskip("onnx", reason="needs the extra onnx").helper
    he, ihc = (
        helper.make_tensor_value_info(name, 1, shape)
        for name, shape in (("he", ["batch", 3, "h", "w"]), ("ihc", [2, 3, 96, 128]))
    )
    graph = helper.make_graph([], "g", [he], [ihc])
    declare_free(graph)
    assert [side.dim_param or side.dim_value for side in graph.output[0].type.tensor_type.shape.dim] == [
        "batch", 3, "h", "w",
    ]  # fmt: skip


def test_onnx_equals_the_method_and_needs_nothing_of_ours(tiny: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    method = tiny("cut")
    write_onnx(Graph(method), tmp_path / "g.onnx")
    (tmp_path / "in").mkdir()
    Image.fromarray(he(50)[:, :37]).save(tmp_path / "in" / "a.png")
    example = Path(__file__).parents[2] / "docs" / "examples" / "onnx_folder.py"
    ran = subprocess.run(
        [sys.executable, example, tmp_path / "g.onnx", tmp_path / "in", tmp_path / "out"],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    ours = translate_image(method, read_rgb(tmp_path / "in" / "a.png"), torch.device("cpu"))
    theirs = read_rgb(tmp_path / "out" / "a.png")
    assert np.abs(ours.astype(int) - theirs).max() <= 1  # half a level at the edge of rounding is one
