"""A generator as a graph that runs without vsbench: ONNX for any runtime, TorchScript for libtorch.

    he (B, 3, H, W) in [−1, 1]  →  ihc, the same shape;  B, H and W are free, H and W multiples of ``size_multiple``

What a method draws anew for images of every size is a further input, standard normal. Instance norm takes the
statistics of each image, as ``vsbench translate`` does of a whole one, or those of given images, frozen: then tiles of
a larger image do not jump. Whatever is written is run once more and held against the method itself.
"""

import copy
import json
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from vsbench import __version__
from vsbench.data.decode import read_rgb
from vsbench.data.pairs import images_by_stem
from vsbench.engine.statistics import Norm, Statistics, imposing, normalises_by_input
from vsbench.engine.tiles import SMALLEST, Tiling
from vsbench.engine.translate import record_statistics
from vsbench.errors import RunError, UsageError
from vsbench.files import atomic, require_replaceable
from vsbench.method import Method
from vsbench.names import said
from vsbench.nn.tiled import TiledConvolution

if TYPE_CHECKING:
    from onnx import GraphProto

OPSET = 18  # of ONNX; onnxruntime reads it from 1.14 on
HALF_LEVEL, ON_AVERAGE = 0.5 / 127.5, 1e-4  # how far outputs may be apart in [−1, 1], and their mean
BATCHES = (1, 3)
CHECKED = 64  # pixels a side at least
TILE = 512  # pixels a side: larger images give their statistics by pieces from all over them
NAMES = ("he", "ihc")
CARD = "vsbench.json"  # the extra file of TorchScript that tells what ONNX has as metadata

Outputs = Callable[[Sequence[Tensor]], Tensor]


@dataclass(frozen=True)
class Graph:
    """What is exported: a method, and the statistics its norms are frozen at (none of no images)."""

    method: Method[Any]
    frozen: Statistics = field(default_factory=Statistics)

    @property
    def card(self) -> dict[str, str]:
        """What whoever runs the graph must know, as text by name."""
        return {
            "vsbench": __version__,
            "method": type(self.method).__name__,
            "size_multiple": str(self.method.size_multiple),
            "smallest": str(_sides(self.method.size_multiple, SMALLEST)),
            "range": "-1 to 1",
            "statistics": f"frozen, of {self.frozen.images} images" if self.frozen.images else "of each image",
            "drawn": ", ".join(self.drawn_names),
        }

    @property
    def drawn_names(self) -> list[str]:
        """The inputs besides the H&E."""
        return [f"noise_{place}" for place, _ in _of_image_size(self.method.draws(_blank(self.method)))]

    def inputs(self, images: int, height: int, width: int) -> tuple[Tensor, ...]:
        """Images in [−1, 1], and what the method draws for them."""
        generator = torch.Generator().manual_seed(height * width)
        he = 2 * torch.rand((images, 3, height, width), generator=generator) - 1
        return (he, *(drawn for _, drawn in _of_image_size(self.method.draws(he))))

    @property
    def sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Two heights and widths at which what was exported is held against the method."""
        multiple = self.method.size_multiple
        side = _sides(multiple, CHECKED)
        return (side, side), (side + multiple, side + 2 * multiple)

    def module(self) -> nn.Module:
        """The network to export."""
        return _Exported(self.method, self.frozen)

    def expected(self, inputs: Sequence[Tensor]) -> Tensor:
        """What the method itself makes of them."""
        return torch.cat([self._of_one(image[None]) for image in inputs[0]])

    def _of_one(self, image: Tensor) -> Tensor:
        with _normalising(self.method, self.frozen), torch.inference_mode():
            return self.method.translate(image)


class _Exported(nn.Module):
    """``translate`` in layers of plain arithmetic, which every exporter follows for any batch and size."""

    def __init__(self, method: Method[Any], frozen: Statistics) -> None:
        super().__init__()
        self.frozen = frozen
        self.method = _plain(method)
        self.drawn = list(method.draws(_blank(method)))
        self.places = [place for place, _ in _of_image_size(self.drawn)]

    def forward(self, he: Tensor, *given: Tensor) -> Tensor:
        drawn = list(self.drawn)
        for place, tensor in zip(self.places, given, strict=True):
            drawn[place] = tensor
        with _normalising(self.method, self.frozen):
            return self.method.translate_drawn(he, *drawn)


def frozen_by(method: Method[Any], images: Iterable[NDArray[np.uint8]]) -> Statistics:
    """The statistics of H&E images (H, W, 3), pooled: what to freeze a method's norms at.

    Raises UsageError where the method normalises nothing by its input.
    """
    known = Statistics()
    for he in images:
        record_statistics(method, he, torch.device("cpu"), Tiling(TILE, 0, method.size_multiple), known)
    if not known.means:
        raise UsageError(f"{type(method).__name__} normalises nothing by its input: there is nothing to freeze")
    return known


def images_at(place: Path) -> Iterator[NDArray[np.uint8]]:
    """An H&E image, or those of a folder one by one. Raises DataError where there is none, or one is bad."""
    yield from map(read_rgb, images_by_stem(place).values() if place.is_dir() else [place])


def write_onnx(graph: Graph, path: Path) -> None:
    """Write ``path`` and hold it against the method in onnxruntime.

    Raises UsageError where a package is missing, and RunError, leaving nothing, where it can't be exported or its
    outputs differ.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  the exporter's own need
    except ImportError as error:
        raise UsageError(f"--onnx needs {error.name}: pip install 'vsbench[onnx]'") from None
    _require_place(path, ".onnx", lambda there: any(p.key == "vsbench" for p in onnx.load(there).metadata_props))
    inputs = graph.inputs(2, *graph.sizes[1])
    with _quietly("ONNX", path):
        program = torch.onnx.export(
            graph.module().eval(), inputs, dynamo=True, opset_version=OPSET, dynamic_shapes=_free(graph, len(inputs)),
            input_names=[NAMES[0], *graph.drawn_names], output_names=[NAMES[1]], verbose=False,
        )  # fmt: skip
    assert program is not None  # but for exports into a file
    model = program.model_proto
    declare_free(model.graph)
    for key, value in graph.card.items():
        model.metadata_props.add(key=key, value=value)
    with atomic(path) as temporary:
        onnx.save(model, temporary)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors: what the exporter might have left out, it tells at length
        session = onnxruntime.InferenceSession(temporary, options, providers=["CPUExecutionProvider"])
        names = [entry.name for entry in session.get_inputs()]

        def run(given: Sequence[Tensor]) -> Tensor:
            feed = {name: tensor.numpy() for name, tensor in zip(names, given, strict=True)}
            return torch.from_numpy(session.run([NAMES[1]], feed)[0])

        require_equal(graph, run, path)


def declare_free(graph: "GraphProto") -> None:
    """Give the output the input's shape, which it has: torch 2.6 may declare that of the example it traced."""
    shape = graph.output[0].type.tensor_type.shape
    shape.CopyFrom(graph.input[0].type.tensor_type.shape)


def write_torchscript(graph: Graph, path: Path) -> None:
    """The same for TorchScript; the card is the extra file ``CARD`` inside."""
    _require_place(path, ".pt", lambda there: any(name.endswith(CARD) for name in zipfile.ZipFile(there).namelist()))
    with _quietly("TorchScript", path), torch.no_grad():
        traced = torch.jit.trace(graph.module().eval(), graph.inputs(2, *graph.sizes[1]), check_trace=False)
    with atomic(path) as temporary:
        with _quietly("TorchScript", path):
            torch.jit.save(traced, str(temporary), _extra_files={CARD: json.dumps(graph.card)})
            loaded = torch.jit.load(str(temporary))

        def run(given: Sequence[Tensor]) -> Tensor:
            with torch.inference_mode():
                return loaded(*given)

        require_equal(graph, run, path)


def require_equal(graph: Graph, outputs: Outputs, path: Path) -> None:
    """Raise RunError unless what was exported equals the method at two sizes, in batches of one and three images."""
    for images in BATCHES:
        for height, width in graph.sizes:
            inputs = graph.inputs(images, height, width)
            apart = (outputs(inputs).float() - graph.expected(inputs)).abs()
            if not (apart.max() <= HALF_LEVEL and apart.mean() <= ON_AVERAGE):
                raise RunError(
                    f"{path}: differs from {type(graph.method).__name__} by {127.5 * apart.max():.3g} levels of 8 bits "
                    f"(mean {apart.mean():.2g} of [−1, 1]) on {images} images of {height}×{width}; it is not written: "
                    "tell the authors of the method"
                )


def _plain(method: Method[Any]) -> Method[Any]:
    """A copy in evaluation mode whose norms, convolutions and weights are what they compute, and nothing else."""
    plain = copy.deepcopy(method).eval().requires_grad_(False)
    for module, weight in _weights_in_use(plain).items():
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
        module.weight.data = weight
    for module in plain.modules():
        if isinstance(module, Norm):
            module.forward = partial(_normalised, module)  # type: ignore[method-assign]
        elif isinstance(module, TiledConvolution):
            module.forward = partial(nn.Conv2d.forward, module)  # type: ignore[method-assign]
    return plain


def _weights_in_use(method: Method[Any]) -> dict[nn.Module, Tensor]:
    """What spectral norm, or another parametrisation, makes of the weights while the method translates."""
    found: dict[nn.Module, Tensor] = {}
    hooks = [
        module.register_forward_pre_hook(lambda module, _: found.update({module: module.weight.clone()}))
        for module in method.modules()
        if parametrize.is_parametrized(module, "weight")
    ]
    with torch.no_grad():
        method.translate(_blank(method))
    for hook in hooks:
        hook.remove()
    return found


def _normalised(norm: Any, x: Tensor) -> Tensor:
    """Instance or batch norm of (B, C, H, W) in elementary steps, each image by itself where it is by the input."""
    if normalises_by_input(norm):
        centred = x - x.mean((2, 3), keepdim=True)
        variance = centred.square().mean((2, 3), keepdim=True)
    else:
        centred = x - norm.running_mean[:, None, None]
        variance = norm.running_var[:, None, None]
    x = centred * torch.rsqrt(variance + norm.eps)
    return x if norm.weight is None else x * norm.weight[:, None, None] + norm.bias[:, None, None]


def _normalising(method: nn.Module, frozen: Statistics) -> AbstractContextManager[None]:
    return imposing(method, frozen) if frozen.images else nullcontext()


def _require_place(path: Path, ending: str, ours: Callable[[Path], bool]) -> None:
    if path.suffix != ending:
        raise UsageError(f"{path}: give OUT a name that ends in {ending}")

    def known(there: Path) -> bool:
        try:
            return ours(there)
        except Exception:  # each reader has its own errors for what is no such file
            return False

    require_replaceable(path, known, "OUT")


def _sides(multiple: int, least: int) -> int:
    """The smallest multiple that is ``least`` or more."""
    return -(-least // multiple) * multiple


def _blank(method: Method[Any]) -> Tensor:
    """The smallest image that a method translates."""
    side = _sides(method.size_multiple, CHECKED)
    return torch.zeros(1, 3, side, side)


def _of_image_size(drawn: Sequence[Tensor]) -> list[tuple[int, Tensor]]:
    """Of what a method draws, that which has the size of an image: the rest is the same for all of them."""
    return [(place, tensor) for place, tensor in enumerate(drawn) if tensor.dim() == 4]


def _free(graph: Graph, inputs: int) -> tuple[Any, ...]:
    """Which sides of the inputs may change: of the H&E the batch too."""
    multiple = graph.method.size_multiple
    least = -(-SMALLEST // multiple)
    sides = {place: multiple * torch.export.Dim(name, min=least, max=1 << 14) for place, name in ((2, "h"), (3, "w"))}
    he = {0: torch.export.Dim("batch", min=1, max=4096), **sides}
    return (he, (sides,) * (inputs - 1)) if inputs > 1 else (he,)


@contextmanager
def _quietly(form: str, path: Path) -> Iterator[None]:
    """Warnings of an exporter about itself are not ours to say; what it raises is told in one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        raise RunError(f"{path}: can't be exported as {form} ({type(error).__name__}: {said(error)})") from error
