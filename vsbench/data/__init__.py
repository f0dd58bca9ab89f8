"""Pairs of H&E and IHC images: pairing, decoding, splits, augmentation, loading."""
