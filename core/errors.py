"""What can go wrong, as a user meets it.

    FinetuiError                 message: what is wrong and where; hint: what to do
    ├── UsageError               a command line or a file of options says something impossible
    │   └── ConfigError          options are wrong: all of them, each with its place
    ├── WorkspaceError           a folder or file of the workspace cannot be used
    ├── RecordError              a JSON record has another shape than it should
    ├── SessionError             a conversation file cannot be read or written
    ├── DataError                a data set cannot be found, read or entered
    │   └── RowProblem           one row of it cannot be used (core.data.problems)
    ├── ModelError               a model folder cannot be used
    │   ├── ModelNotFound        no model of that name, here or where we may look
    │   ├── AdapterMismatch      an adapter belongs to another base model
    │   └── PullFailed           fetching or converting a model ended early; nothing half is left
    ├── RunError                 a run cannot be started, stopped, resumed or removed
    │   ├── RunNotFound          no run of that name
    │   └── TrainingError        a training that has begun cannot go on
    ├── ReportError              predictions or a report cannot be found or read
    ├── ServerError              a served model gives no answer
    │   └── ServerUnreachable    nobody takes calls at its address
    ├── MetricError              a metric of the user's own cannot be used, or fails on a row
    ├── ScoringFailed            what scores answers in a training fails, or gives no numbers
    ├── PromptTooLong            one message alone does not fit the model's context
    └── WorkerError              the model's process answered with an error
        └── WorkerDied           the model's process ended by itself

They are shown without a traceback, in a panel or on stderr; a command ends with exit code 2. Anything else that is
raised is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class FinetuiError(Exception):
    """An error told to the user.

    Args:
        message: what is wrong and where (`file:line` when there is one), as one sentence without a full stop.
        hint: what to do about it; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


class UsageError(FinetuiError):
    """A command line or a file of options says something impossible."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an option.

    `where` is `--temperature`, or `lora.yaml:12: temperature`, or the option's name alone.
    """

    where: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} ({self.hint})" if self.hint else text


class ConfigError(UsageError):
    """Options are wrong: all of them at once, each with its place."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class WorkspaceError(FinetuiError):
    """A folder or file of the workspace cannot be used."""


class RecordError(FinetuiError):
    """A JSON record has another shape than it should."""


class SessionError(FinetuiError):
    """A conversation file cannot be read or written."""


class DataError(FinetuiError):
    """A data set cannot be found, read or entered."""


class ModelError(FinetuiError):
    """A model folder cannot be used."""


class ModelNotFound(ModelError):
    """No model of that name, here or where we may look."""


class AdapterMismatch(ModelError):
    """An adapter belongs to another base model."""


class PullFailed(ModelError):
    """Fetching or converting a model ended early; nothing half is left."""


class RunError(FinetuiError):
    """A run cannot be started, stopped, resumed or removed."""


class RunNotFound(RunError):
    """No run of that name."""


class TrainingError(RunError):
    """A training that has begun cannot go on."""


class ReportError(FinetuiError):
    """Predictions or a report cannot be found or read."""


class ServerError(FinetuiError):
    """A served model gives no answer.

    Args:
        passing: asking again may help.
        pause: seconds that the server asks to wait before that.
        for_all: no other question would fare better: a wrong key, a model that it does not have.
    """

    def __init__(
        self, message: str, hint: str = "", *, passing: bool = False, pause: float = 0.0, for_all: bool = False
    ) -> None:
        super().__init__(message, hint)
        self.passing, self.pause, self.for_all = passing, pause, for_all


class ServerUnreachable(ServerError):
    """Nobody takes calls at its address."""


class MetricError(FinetuiError):
    """A metric of the user's own cannot be used, or fails on a row."""


class ScoringFailed(FinetuiError):
    """What scores answers in a training fails, or gives no numbers."""


class PromptTooLong(FinetuiError):
    """One message alone does not fit the model's context."""


class WorkerError(FinetuiError):
    """The model's process answered with an error.

    Args:
        kind: the protocol's `ErrorKind`: usage, model, prompt_too_long, out_of_memory, internal.
    """

    def __init__(self, message: str, hint: str = "", kind: str = "internal") -> None:
        super().__init__(message, hint)
        self.kind = kind


class WorkerDied(WorkerError):
    """The model's process ended by itself."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The nearest known name as a question, or an empty string when none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else ""
