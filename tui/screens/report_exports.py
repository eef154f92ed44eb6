"""What is shown of a report, as the text of a file; the file's ending says in which form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.report.export import export_rows
from core.report.html import report_page
from core.report.rows import OpenReport
from core.workspace import Workspace

_FORMATS: Mapping[str, str] = {"csv": "csv", "jsonl": "jsonl", "md": "markdown"}
_PAGE = "html"
ENDINGS = (*_FORMATS, _PAGE)


def export_text(opened: OpenReport, order: Sequence[int], ending: str, workspace: Workspace) -> str:
    """The rows shown, in their order; as a page for a browser beside everything else about the report.

    Args:
        ending: of `ENDINGS`.
        workspace: where a page looks for the curves of the training.
    """
    page = ending == _PAGE
    text = report_page(opened, workspace, order) if page else export_rows(opened, order, _FORMATS[ending])
    return text.encode(errors="replace").decode()  # of lone surrogates, which no file takes
