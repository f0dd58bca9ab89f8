"""Training on tiles of one size, alike for all methods that are compared on them."""

from typing import Any

# Crops of 512 for 40 + 40 epochs, as USIGAN's paper trains its own method. How it trained those that it compares with
# is not published: for these the preset is a frame of ours, not the paper's.
MIST: dict[str, Any] = {
    "load_size": 1024, "crop_size": 512, "decay_phase": "crop", "epochs": 40, "decay_epochs": 40,
}  # fmt: skip

# The phantom's tiles of 256², for CUT's family on one core. With two halvings of D, or on crops of 64², it sees no
# brown for as long as such a training lasts; the identity term takes a third of a step, and says that dark stays dark.
# What was tried: results/examples/phantom/presets.md.
PHANTOM: dict[str, Any] = {
    "width": 16, "blocks": 3, "taps": (0, 4, 8, 12, 14), "patches": 128, "lambda_identity": 0.0, "load_size": 0,
    "crop_size": 128, "decay_phase": "crop", "steps": 1200, "lr": 1e-3, "average": 0.99,
}  # fmt: skip
# ``small`` is PHANTOM's frame for all methods, as the leaderboard compares them: crops of 128² one at a time, two where
# a method has batch norm, two of 96² where it compares images of a batch; so many steps, a D of three halvings, no
# identity term, an average over some hundred steps. The weights of a method's own terms are those of its ``cpu``.
SMALL: dict[str, Any] = {
    "batch_size": 1, "crop_size": 128, "discriminator_layers": 3, "steps": 1200, "average": 0.99,
}  # fmt: skip
# For a U-Net on them; Pix2Pix trained for longer stains fewer of the right cells.
PHANTOM_UNET: dict[str, Any] = {
    "width": 16, "downs": 5, "batch_size": 2, "load_size": 0, "crop_size": 128, "steps": 2000, "lr": 1e-3,
}  # fmt: skip
