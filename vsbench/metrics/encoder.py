"""Set distances, and the likeness of each image to its real partner, in the features of an encoder that you added.

Encoders of pathology see what ImageNet's networks were never shown; which of them to trust is yours to say. On request:
``vsbench weights add --encoder FILE --card CARD.yaml``, then ``vsbench evaluate --also encoder=NAME``. With another
encoder, or a file of other bytes, these are other protocols, and compare with nothing.
"""

import importlib.metadata
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vsbench.errors import UsageError
from vsbench.metrics._feature_space import FeatureSpace, prepared, space_values
from vsbench.weights import WeightsError
from vsbench.weights.encoders import (
    ADD,
    Card,
    Encoder,
    encoder_absence,
    encoder_names,
    encoder_status,
    find_encoder,
    require_encoder,
)

if TYPE_CHECKING:
    from torch import Tensor


class EncoderSpace(FeatureSpace):
    """Values in the space of one encoder: the one that is chosen, or the only one that there is.

    ``network``: (B, 3, size, size) float → (B, width); taken in the place of an encoder's, with its ``card``.
    """

    package = "torch"
    on_request = True
    suffix = "encoder"
    values = space_values(suffix, "encoder", "the features of an encoder", "encoder")  # an object has its encoder's

    def __init__(self, network: Any = None, card: Card | None = None) -> None:
        super().__init__(network)
        self.name, self.card = "", card
        with suppress(WeightsError):  # which ``unavailable`` tells
            if network is None and len(there := encoder_names()) == 1:
                self.choose(there[0])

    @staticmethod
    def build(tensors: "dict[str, Tensor]") -> Any:
        """Tensors alone are no encoder: see ``ready``."""
        raise TypeError("an encoder is built of its file and its card")

    def choose(self, choice: str | None) -> None:
        """Take the encoder of this name. Raises UsageError where there is none, or where one must be named."""
        if choice is None:
            with suppress(WeightsError):
                if len(there := encoder_names()) > 1:
                    raise UsageError(f"there are {', '.join(there)}: say which, as in encoder={there[0]}")
            return
        require_encoder(choice)
        self.name, self.card = choice, encoder_status(choice)[0]
        if isinstance(self.card, Encoder):
            said = f"the {self.card.width} features of {choice} (input {_input(self.card)})"
            self.values = space_values(self.suffix, "encoder", said, self.space)

    @property
    def space(self) -> str:
        """By name, SHA-256 of file and card, and all that is done to an image before."""
        card = self.card
        if not isinstance(card, Encoder):
            return self.suffix
        return f"encoder-{card.name}/{card.digest[:16]}/{_input(card)}".replace(" ", "-")

    def unavailable(self) -> str | None:
        """Why there is no encoder to measure with; None if there is."""
        if self.given is not None:
            return None
        if self.name:
            return encoder_absence(self.name)
        try:
            there = encoder_names()
        except WeightsError as error:
            return error.reason
        return f"there are {', '.join(there)}: name one of these encoders" if there else f"no encoder was added ({ADD})"

    def provenance(self) -> dict[str, str]:
        """SHA-256 of the encoder's file under the words that choose it, and the version of what runs it."""
        if self.given is not None or not isinstance(self.card, Encoder):
            return {}
        package = (self.card.architecture or "torch").partition(":")[0]
        return {f"encoder={self.card.name}": self.card.sha256, package: importlib.metadata.version(package)}

    def ready(self) -> Any:
        """The network, on the metric's device. Raises UserError where its file is not the one that was added."""
        if self.given is not None:
            return super().ready()
        found = find_encoder(self.name)
        return _network(found.encoder.name, found.encoder.digest, self.device)

    def embed(self, network: Any, images: "Tensor") -> "Tensor":
        """(B, 3, H, W) uint8 → (B, width). Raises UserError where the network gives anything else."""
        from vsbench.weights.encoder_networks import checked

        if self.card is None:
            raise ValueError("an encoder has a card")
        size = self.card.size
        found = network(prepared(images, (size, size), self.card.mean, self.card.std))
        return checked(found, len(images), self.card)


def _input(card: Card) -> str:
    mean, std = (",".join(f"{number:g}" for number in numbers) for numbers in (card.mean, card.std))
    return f"bilinear-aa {card.size}x{card.size} mean {mean} std {std}"


@lru_cache(maxsize=2)
def _network(name: str, digest: str, device: str) -> Any:
    """An encoder's network. ``digest`` tells files apart: one that changes is another encoder."""
    from vsbench.weights.encoder_networks import build

    found = find_encoder(name)
    network: Any = build(found.encoder, found.path)
    return network.to(device)
