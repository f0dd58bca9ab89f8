"""Training on tiles of 1024², alike for all methods that are compared on them."""

from typing import Any

# Crops of 512 for 40 + 40 epochs, as USIGAN's paper trains its own method. How it trained those that it compares with
# is not published: for these the preset is a frame of ours, not the paper's.
MIST: dict[str, Any] = {
    "load_size": 1024, "crop_size": 512, "decay_phase": "crop", "epochs": 40, "decay_epochs": 40,
}  # fmt: skip
