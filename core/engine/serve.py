"""The chat worker's process: `python -P -m core.engine.serve` speaks `core.serve.protocol` on its pipes.

How is told in `core.serve.service`. The first line is written before anything heavy is imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn, cast

from core.engine.shortage import is_out_of_memory
from core.errors import FinetuiError, ModelError, PromptTooLong, RecordError, UsageError
from core.i18n import _
from core.serve.protocol import ErrorKind, Failed, Reply, Status, StatusReport
from core.serve.service import Service, Work, resident_bytes, serve

PASSIVE_WAITS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
"""Before torch is imported: on a busy machine threads that spin at barriers cost 2–4×."""
_QUIET = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def main() -> NoReturn:
    """Serve until standard input ends."""
    serve(_ready, failure)


def _ready(emit: Callable[[Reply], None], is_stopped: Callable[[int], bool]) -> Service:
    os.environ.update(PASSIVE_WAITS)
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    return ModelService(emit, is_stopped)


class ModelService:
    """A model that is loaded in this process."""

    def __init__(self, emit: Callable[[Reply], None], is_stopped: Callable[[int], bool]) -> None:
        from core.engine.worker import Worker  # jinja2 and tokenizers: 0.1 s, after the first sign of life

        self.worker = Worker(emit, is_stopped)

    def handle(self, request: Work) -> None:
        try:
            self.worker.handle(request)
        except BaseException as error:
            if is_out_of_memory(error):
                error.__traceback__ = None  # it holds on to the tensors that were too many
                self.worker.out_of_memory()
            raise

    def status(self, request: Status) -> StatusReport:
        condition = self.worker.condition
        used, total = _device_memory() if condition.state in ("ready", "generating") else (0, 0)
        return StatusReport(
            request.id,
            cast(Any, condition.state),
            condition.model,
            condition.adapters,
            resident_bytes=resident_bytes(),
            device_bytes=used,
            device_total_bytes=total,
        )


def failure(request_id: int, error: BaseException) -> Failed:
    """An exception as the closing reply of a request."""
    if is_out_of_memory(error):
        return Failed(
            request_id,
            "out_of_memory",
            _("out of memory: {error}").format(error=_one_line(error)),
            _("shorten the conversation, lower max_new_tokens, or unload adapters and other models"),
        )
    if isinstance(error, FinetuiError):
        return Failed(request_id, _kind(error), error.message, error.hint)
    import traceback  # only for defects, whose traceback goes to the log

    traceback.print_exception(error, file=sys.stderr)
    return Failed(request_id, "internal", f"{type(error).__name__}: {_one_line(error)}", _("the log has the details"))


def _kind(error: FinetuiError) -> ErrorKind:
    if isinstance(error, PromptTooLong):
        return "prompt_too_long"
    if isinstance(error, (UsageError, RecordError)):
        return "usage"
    return "model" if isinstance(error, ModelError) else "internal"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]


def _device_memory() -> tuple[int, int]:
    """Bytes that this process took on the accelerator, and all that it has."""
    torch: Any = sys.modules["torch"]
    if not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return 0, 0
    return int(torch.cuda.memory_reserved()), int(torch.cuda.mem_get_info()[1])


if __name__ == "__main__":
    main()
