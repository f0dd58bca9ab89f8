"""From an encoder's file to a network: TorchScript as it is, tensors by an architecture of timm or transformers.

Nothing is fetched: architectures are built without weights. A TorchScript file is a program, which runs with all that
its user may do; so only files get here that were added by name and have not changed since.
"""

import importlib
import importlib.util
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vsbench.errors import UserError
from vsbench.files import open_regular
from vsbench.names import brief, said
from vsbench.weights.recognise import HEADS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vsbench.weights.encoders import Card, Encoder

HEADER = 1 << 27  # bytes, at most, of a safetensors file's table of contents
KINDS = "an encoder is a TorchScript file (torch.jit.save) or a safetensors file"


def kind_of(path: Path) -> Literal["torchscript", "safetensors"]:
    """What a file is, by its bytes; nothing in it is run. Raises UserError for all else, saying what it looks like."""
    try:
        with open_regular(path) as file:
            head = file.read(100)
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror}); give an encoder's file") from None
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and 2 <= length <= min(HEADER, path.stat().st_size):
        return "safetensors"
    if head.startswith(b"PK"):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise UserError(f"{path}: damaged or cut short ({said(error)}); {KINDS}") from None
        if any(name.endswith("/constants.pkl") for name in names) and any("/code/" in name for name in names):
            return "torchscript"
        if any(name.endswith("/data.pkl") for name in names):
            raise UserError(f"{path}: a pickle of torch.save, which is not read; save its tensors as safetensors")
    for start, what in HEADS:
        if head.lstrip().startswith(start):
            raise UserError(f"{path}: this is {what}")
    raise UserError(f"{path}: neither TorchScript nor safetensors; {KINDS}")


def missing_package(encoder: "Encoder") -> str | None:
    """Which package an encoder's architecture lacks here, and the mend."""
    package = (encoder.architecture or "torch").partition(":")[0]
    if importlib.util.find_spec(package) is not None:
        return None
    return f"encoder {encoder.name} needs the package {package}, which is not installed (pip install {package})"


def build(encoder: "Encoder", path: Path) -> "Callable[[Tensor], Tensor] | nn.Module":
    """The network, (B, 3, size, size) float → (B, width), on the CPU and in evaluation mode.

    Raises UserError where a package is missing, or the file does not fit its card.
    """
    import torch

    if missing := missing_package(encoder):
        raise UserError(missing)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # packages warn of their age
        try:
            network = (
                torch.jit.load(path, map_location="cpu") if encoder.kind == "torchscript" else _built(encoder, path)
            )
        except UserError:
            raise
        except Exception as error:  # of another package, which may raise anything
            raise UserError(
                f"{path}: encoder {encoder.name} can't be built: {type(error).__name__}: {said(error)}"
            ) from None
    return network.eval()


def require_width(network: Any, encoder: "Encoder") -> None:
    """Raise UserError where a network does not give what its card says for two images of noise."""
    import torch

    noise = torch.rand(2, 3, encoder.size, encoder.size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = network(noise)
        except Exception as error:
            raise UserError(
                f"encoder {encoder.name}: fails on an input of {encoder.size}² pixels, as its card has it: "
                f"{type(error).__name__}: {said(error)}"
            ) from None
    checked(found, 2, encoder)


def checked(found: Any, images: int, encoder: "Card") -> "Tensor":
    """What a network gave, if it is as the card says. Raises UserError."""
    import torch

    if not isinstance(found, torch.Tensor):
        raise UserError(f"encoder {encoder.name}: gives a {type(found).__name__}, not a tensor of features")
    if found.shape != (images, encoder.width):
        raise UserError(
            f"encoder {encoder.name}: gives features of shape {tuple(found.shape)} for {images} images; by its card "
            f"(width: {encoder.width}) they are {(images, encoder.width)}; mend the card and add it again"
        )
    if not torch.isfinite(found).all():
        raise UserError(f"encoder {encoder.name}: gives features that are not finite")
    return found


def _built(encoder: "Encoder", path: Path) -> "nn.Module":
    from safetensors.torch import load_file

    tensors = load_file(path)
    package, _, name = str(encoder.architecture).partition(":")
    network = _of_timm(name, encoder.options) if package == "timm" else _of_transformers(name, encoder)
    inside = network.inner if package == "transformers" else network
    unused = tuple(f"{layer}." for layer in _classifiers(inside))
    tensors = {key: tensor for key, tensor in tensors.items() if not (unused and key.startswith(unused))}
    needed = inside.state_dict()
    if missing := sorted(needed.keys() - tensors.keys()):
        raise UserError(
            f"{path}: no file of {encoder.architecture}: without {len(missing)} tensors, such as {brief(missing[0])}"
        )
    if more := sorted(tensors.keys() - needed.keys()):
        raise UserError(
            f"{path}: no file of {encoder.architecture}: with {len(more)} more tensors, such as {brief(more[0])}"
        )
    unlike = [key for key, tensor in tensors.items() if tensor.shape != needed[key].shape]
    if unlike:
        raise UserError(
            f"{path}: no file of {encoder.architecture} with these options: {len(unlike)} tensors are of other shapes, "
            f"such as {brief(unlike[0])}"
        )
    inside.load_state_dict(tensors)
    return network


def _of_timm(name: str, options: dict[str, Any]) -> Any:
    """Pooled features in the place of a classifier's numbers."""
    timm: Any = importlib.import_module("timm")
    return timm.create_model(name, pretrained=False, **options | {"num_classes": 0})


def _classifiers(network: Any) -> tuple[str, ...]:
    """The layers of a timm network that stand for its classifier, which a file has and we don't."""
    named = getattr(network, "pretrained_cfg", {}).get("classifier", ())
    return (named,) if isinstance(named, str) else tuple(named or ())


def _of_transformers(name: str, encoder: "Encoder") -> Any:
    from torch import nn

    transformers: Any = importlib.import_module("transformers")
    config = transformers.AutoConfig.for_model(name, **encoder.options)

    class Taken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = transformers.AutoModel.from_config(config, trust_remote_code=False)

        def forward(self, x: "Tensor") -> "Tensor":
            found = self.inner(pixel_values=x)
            if encoder.take == "pooler":
                return found.pooler_output
            tokens = found.last_hidden_state
            return tokens[:, 0] if encoder.take == "cls" else tokens.mean(dim=1)

    return Taken()
