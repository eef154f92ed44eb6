"""What stands in a safetensors file, told from its header alone: names, types and shapes, no weights.

The file opens with the header's length (8 bytes, little endian) and the header as JSON. Files come from anywhere, so
lengths and offsets are checked before they are believed.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import ModelError
from core.i18n import _
from core.untrusted import inert_line

_LARGEST_HEADER = 100_000_000  # the format's own limit
_TORCH_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


class TensorHeader(NamedTuple):
    """A tensor without its values. A model has hundreds: a tuple is made three times as fast as a dataclass."""

    dtype: str
    """As torch names it."""
    shape: tuple[int, ...]
    size_bytes: int

    @property
    def elements(self) -> int:
        """How many numbers are in it."""
        return math.prod(self.shape)


def read_header(path: Path) -> dict[str, TensorHeader]:
    """The tensors of a file by name.

    Raises:
        ModelError: the file is no safetensors file, or ends before its tensors do.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _LARGEST_HEADER:
                raise _broken(path, _("its header is damaged"))
            header = json.loads(file.read(length))
            size = file.seek(0, 2)
        tensors = {name: _tensor(entry) for name, entry in header.items() if name != "__metadata__"}
        end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    except OSError as error:
        raise _broken(path, error.strerror or str(error)) from error
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise _broken(path, _("its header is damaged")) from error
    if 8 + length + end > size:
        raise _broken(path, _("it ends early, after {size} of {whole} bytes").format(size=size, whole=8 + length + end))
    return tensors


def _tensor(entry: Mapping[str, Any]) -> TensorHeader:
    dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if {type(begin), type(end), *map(type, shape)} != {int} or not 0 <= begin <= end or (shape and min(shape) < 0):
        raise ValueError
    return TensorHeader(_TORCH_NAMES.get(dtype) or inert_line(dtype).lower(), shape, end - begin)


def main_dtype(tensors: Iterable[TensorHeader]) -> str:
    """The type that most bytes are of; empty without tensors."""
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        sizes[tensor.dtype] += tensor.size_bytes
    return sizes.most_common(1)[0][0] if sizes else ""


def _broken(path: Path, reason: str) -> ModelError:
    return ModelError(
        _("{file} cannot be read: {reason}").format(file=inert_line(path.name), reason=reason),
        _("fetch or copy it again"),
    )
