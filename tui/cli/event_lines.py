"""What a run tells, event by event, as lines for people."""

from __future__ import annotations

from core.i18n import _, plural
from core.models.figures import count_text, size_text
from core.runs.catalog import called
from core.runs.events import (
    Answered,
    CheckpointSaved,
    DataReady,
    Evaluation,
    Event,
    ModelReady,
    ModelsBeside,
    PartScored,
    Queued,
    RunStarted,
    Sample,
    Stage,
    StageChanged,
    Step,
    Warned,
)
from core.runs.quantities import TrainingStage
from core.runs.told import answer_rate, answered_line, log_line
from core.untrusted import inert_line

_LINES_OF_ANSWERS = 20
_MOST_SECONDS_SILENT = 30.0
_METRICS_IN_LINE = 6


def stage_line(stage: Stage) -> str:
    """What a run is busy with; empty where the line would only be noise."""
    lines: dict[Stage, str] = {
        "importing": _("starting the engine"),
        "data": _("reading the data"),
        "loading": _("loading the model"),
        "reference": _("asking the reference"),
        "trying": _("trying a step"),
    }
    return lines.get(stage, "")


class Teller:
    """Turns events into lines; keeps what a line needs of the events before."""

    def __init__(self, trains: TrainingStage = "sft") -> None:
        self._trains = trains
        self._before: Step | None = None
        self._stage: Stage | None = None
        self._evaluates = False
        self._answered: Answered | None = None
        """The last that a line was made of."""
        self.speed = 0.0
        """Updates or answers a second, over the window of the last point."""

    def line(self, event: Event) -> str:
        """The line of an event, empty for what nobody has to read. The last word of a run is not told here."""
        match event:
            case RunStarted():
                self._evaluates = event.kind == "evaluation"
                return _resumed_line(event)
            case Queued(device=device, holder=holder):
                told = _("waiting for {device}, which {holder} has")
                return told.format(device=inert_line(device), holder=inert_line(holder))
            case StageChanged(stage=stage):
                told, self._stage = stage_line(stage) if stage != self._stage else "", stage
                return told
            case DataReady():
                return asked_line(event) if self._evaluates else data_line(event, self._trains)
            case ModelReady():
                return answerer_line(event) if self._evaluates else model_line(event)
            case ModelsBeside():
                return beside_line(event)
            case Answered():
                return self._answers(event)
            case PartScored():
                return part_line(event)
            case Step():
                return self._step(event)
            case Evaluation():
                return evaluation_line(event)
            case Sample():
                return sample_line(event)
            case CheckpointSaved(path=path, bytes=size):
                return (
                    "" if path == "." else _("saved {path}, {size}").format(path=inert_line(path), size=size_text(size))
                )
            case Warned(message=message, hint=hint):
                return _("warning: {text}").format(text=inert_line(f"{message} ({hint})" if hint else message))
        return ""

    def _step(self, event: Step) -> str:
        before = self._before
        if before is not None and before.step < event.step and before.elapsed < event.elapsed:
            self.speed = (event.step - before.step) / (event.elapsed - before.elapsed)
        else:
            self.speed = event.step / event.elapsed if event.elapsed else 0.0
        self._before = event
        return log_line(event, self.speed)

    def _answers(self, event: Answered) -> str:
        """A line for every twentieth part of the answers, and one in half a minute where they are slow."""
        before, self.speed = self._answered, answer_rate(event)
        if not event.part_done:
            return ""
        step = max(1, event.total // _LINES_OF_ANSWERS)
        new = before is None or before.part != event.part or event.done // step > before.done // step
        if before is not None and not new and event.time - before.time < _MOST_SECONDS_SILENT:
            return ""
        self._answered = event
        return inert_line(answered_line(event, self.speed))


def _resumed_line(event: RunStarted) -> str:
    if event.segment == 1:
        return ""
    if event.kind == "evaluation":
        return _("goes on where it was")
    return _("goes on from {checkpoint}").format(checkpoint=inert_line(event.resumed_from))


def data_line(event: DataReady, stage: TrainingStage = "sft") -> str:
    """What became of the rows; pairs and questions have no tokens that are trained one by one."""
    rows = {
        "sft": plural("{count} row", "{count} rows", event.rows),
        "ppo": plural("{count} question", "{count} questions", event.rows),
    }.get(stage) or plural("{count} pair of answers", "{count} pairs of answers", event.rows)
    told = _("{rows}, {tokens} tokens, {steps}")
    if stage == "sft":
        told = _("{rows}, {tokens} tokens, {trained} of them trained, {steps}")
    told = told.format(
        rows=rows,
        tokens=f"{event.tokens:,}",
        trained=f"{event.trained_tokens:,}",
        steps=plural("{count} step", "{count} steps", event.total_steps),
    )
    more = [
        plural("{count} row is cut", "{count} rows are cut", event.cut_rows) if event.cut_rows else "",
        plural("{count} is left out", "{count} are left out", event.left_out_rows) if event.left_out_rows else "",
        plural("{count} to evaluate on", "{count} to evaluate on", event.eval_rows) if event.eval_rows else "",
    ]
    return "; ".join(filter(None, (told, *more)))


def model_line(event: ModelReady) -> str:
    """What is trained, and how."""
    told = _(
        "{model}: {parameters} parameters, {trainable} of them trained ({share:.2g} %) by {method}, {dtype} on {device}"
    )
    line = told.format(
        model=event.model,
        parameters=count_text(event.parameters),
        trainable=count_text(event.trainable),
        share=100 * event.trainable / max(1, event.parameters),
        method=event.method,
        dtype=event.dtype,
        device=event.device,
    )
    processes = plural("{count} process", "{count} processes", event.processes) if event.processes > 1 else ""
    return inert_line("; ".join(filter(None, (line, processes, *event.choices))))


def beside_line(event: ModelsBeside) -> str:
    """What the trained model is held against, and what scores its answers."""
    reference = _("held against {name}").format(name=event.reference) if event.reference else ""
    if event.reference and event.is_start:
        reference = _("held against {name}, which is what it begins as").format(name=event.reference)
    name = called(event.reward)
    reward = _("scored by {name} ({kind})").format(name=name, kind=event.reward_kind) if event.reward else ""
    return inert_line("; ".join(filter(None, (reference, reward))))


def sample_line(event: Sample) -> str:
    """A probe's answer, and its score where there is one."""
    where = _("before") if event.step == 0 else _("step {step}").format(step=event.step)
    told = f"{where}: {cut(event.prompt, 60)} → {cut(event.answer, 120)}"
    if event.reward is not None:
        told += " " + _("(reward {value})").format(value=f"{event.reward:.4g}")
    return inert_line(told)


def asked_line(event: DataReady) -> str:
    """What an evaluation asks."""
    told = plural("{count} answer to make", "{count} answers to make", event.rows)
    if event.left_out_rows:
        told += "; " + plural("{count} row is left out", "{count} rows are left out", event.left_out_rows)
    return told


def answerer_line(event: ModelReady) -> str:
    """Who answers now."""
    where = _("{dtype} on {device}").format(dtype=event.dtype, device=event.device) if event.device else ""
    size = _("{count} parameters").format(count=count_text(event.parameters)) if event.parameters else ""
    facts = ", ".join(filter(None, (size, event.method, where, *event.choices)))
    return inert_line(": ".join(filter(None, (event.model, facts))))


def part_line(event: PartScored) -> str:
    """What a model's answers to a set have come to."""
    rows = plural("{count} row", "{count} rows", event.rows)
    shown = ", ".join(f"{name}: {value:.4g}" for name, value in list(event.metrics.items())[:_METRICS_IN_LINE])
    return inert_line(f"{event.part}: {rows}, {shown}")


def evaluation_line(event: Evaluation) -> str:
    """The metrics of an evaluation, by the names that files use."""
    prefix = f"eval_{event.dataset}_" if event.dataset else "eval_"
    metrics = ", ".join(f"{prefix}{name}: {value:.5g}" for name, value in event.metrics.items())
    told = _("step {step}: {metrics}").format(step=event.step, metrics=metrics)
    return inert_line(told + (f" ({_('the best so far')})" if event.best else ""))


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
