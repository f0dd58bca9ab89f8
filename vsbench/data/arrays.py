"""Arrays by name in an npz file, as ``numpy.savez`` writes it: not packed, and without objects."""

import struct
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from vsbench.files import open_regular

DAMAGE = (  # what zipfile and NumPy raise for bytes that are not as they must be; memory: for a size that is claimed
    ArithmeticError, AttributeError, BadZipFile, EOFError, LookupError, MemoryError, RuntimeError, SyntaxError,
    TokenError, TypeError, struct.error, zlib.error,
)  # fmt: skip


def read_arrays(file: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a file. Raises OSError where it can't be read, and ValueError where it is damaged."""
    try:
        with open_regular(file) as opened, ZipFile(opened) as packed:  # opened here: NumPy leaves a damaged file open
            if any(member.compress_type != ZIP_STORED for member in packed.infolist()):
                raise ValueError("packed, as vsbench writes no arrays")
            opened.seek(0)
            with np.load(opened, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
    except DAMAGE as error:
        raise ValueError(str(error) or type(error).__name__) from None
