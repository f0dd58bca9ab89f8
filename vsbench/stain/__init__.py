"""Stain physics: optical density, colour deconvolution, integrated DAB density."""
