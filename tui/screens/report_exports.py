"""What is shown of a report, as the text of a file; the file's ending says in which form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.report.export import export_rows
from core.report.rows import OpenReport

_FORMATS: Mapping[str, str] = {"csv": "csv", "jsonl": "jsonl", "md": "markdown"}
ENDINGS = tuple(_FORMATS)


def export_text(opened: OpenReport, order: Sequence[int], ending: str) -> str:
    """The rows shown, in their order.

    Args:
        ending: of `ENDINGS`.
    """
    return export_rows(opened, order, _FORMATS[ending])
