"""vsbench: benchmark and evaluation suite for virtual staining (H&E → IHC)."""

__version__ = "0.1.0"
