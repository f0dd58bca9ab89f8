"""Whether what is asked fits: settings with each other, data with the method, the row with its folder.

All of it before the first step, and in a dry run; of images the headers alone are read.
"""

from dataclasses import replace
from typing import Any

import torch
from torch.optim import Optimizer

from vsbench import registry, weights
from vsbench.data.headers import Headers, require_trainable
from vsbench.data.maps import require_maps
from vsbench.engine.checkpoint import start_from
from vsbench.engine.request import Resolved
from vsbench.errors import UsageError
from vsbench.method import Batch, Method, MethodConfig


def require_all(found: Resolved) -> None:
    """All that is looked at before anything is written. Raises UsageError, DataError, RunError and WeightsError."""
    require_data(found, require_fit(found.method_class, found.config))


def require_data(found: Resolved, method: Method[Any], headers: Headers | None = None) -> None:
    """What ``require_all`` looks at besides the settings: weights, images and maps. ``method`` has shapes only.

    ``headers``: those that were read before.
    """
    if not found.paired:
        require_no_pairs(found.method_class, found.config, found.request.validates)
    for name in method.weights_needed():
        weights.find(name)
    if found.weights is not None:
        start_from(found.weights, found.request.method, method)
    config, pairs = found.config, found.pairs
    cut = 0 if config.load_size else config.crop_size  # resized tiles hold the crop, as the settings see to it
    require_trainable(pairs.train, pairs.validation, cut, config.loader == "aligned", headers)
    maps = method.maps()
    if maps is not None:
        require_maps(maps, pairs.train)


def on_meta(method_class: type[Method[Any]], config: MethodConfig) -> tuple[Method[Any], Batch]:
    """A method and a batch for it that have shapes only: no memory, no arithmetic."""
    with torch.device("meta"):
        shape = (config.batch_size, 3, config.crop_size, config.crop_size)
        method = method_class(config)
        method.equip(None)
        batch = Batch(torch.empty(shape), torch.empty(shape))
        maps = method.maps()
        if maps is not None:
            batch = replace(batch, maps=torch.empty(config.batch_size, maps.channels, *shape[2:]))
        return method, batch


def meta_optimizers(method: Method[Any]) -> dict[str, Optimizer]:
    """The optimizers of a method that has shapes only: fused kernels know no device ``meta``."""
    optimizers = method.optimizers()
    for group in (group for optimizer in optimizers.values() for group in optimizer.param_groups):
        group["fused"] = False
    return optimizers


def require_no_pairs(method_class: type[Method[Any]], config: MethodConfig, validates: bool) -> None:
    """Raise UsageError where the method, its settings or validation would take unpaired images for pairs."""
    card = method_class.card
    if card.pairing != "unpaired" or config.loader != "unaligned":
        free = [key for key, m in registry.load_all("vsbench.methods")[0].items() if m.card.pairing == "unpaired"]
        wants = f"pairing: {card.pairing}, loader: {config.loader}"
        raise UsageError(
            f"{card.title} learns from pairs here ({wants}), and these training images are none; methods that need "
            f"none, with their usual loader: {', '.join(free)}"
        )
    if validates:
        raise UsageError(
            "validation compares with the IHC of the same tissue, which these training images lack; use --select last "
            "without --validate-every"
        )


def require_fit(method_class: type[Method[Any]], config: MethodConfig) -> Method[Any]:
    """Go through a training step without memory or arithmetic, to find settings that do not fit together.

    Returns the method, which has shapes only. Raises UsageError: a crop that is no multiple of what the networks halve,
    or too small for a discriminator, layers that are not there.
    """
    try:
        method, batch = on_meta(method_class, config)
        if config.crop_size % method.size_multiple:
            raise ValueError(f"crop_size {config.crop_size} is no multiple of {method.size_multiple}")
        for _ in method.training_step(batch):
            pass
    except (ValueError, RuntimeError) as error:
        title = method_class.card.title
        raise UsageError(f"{title}, crop_size {config.crop_size}: settings that do not fit together: {error}") from None
    return method
