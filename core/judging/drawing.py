"""The answers are drawn by evaluations, with all that these can: batches, memory, stops, going on where it was.

The first asks every prompt, twice where one model answers. Prompts whose answers are all alike are asked again with
another seed, in a smaller evaluation, as often as `redraws` says. Every run is an ordinary one, seen and stopped where
runs are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from core.config.evaluation import EVALUATION, EvaluatedModelOptions
from core.config.load import load
from core.config.remote import RemoteOptions
from core.errors import ConfigError, Problem
from core.i18n import _
from core.judging.folder import Judging
from core.judging.options import LARGEST_SEED, DrawingOptions, JudgingOptions
from core.judging.pair import Answer, Pair
from core.judging.prompts import Prompt, kept_prompts, write_prompts
from core.launch.evaluation import PreparedEvaluation, prepare_evaluation
from core.launch.folder import refuse_active
from core.launch.local import resume
from core.launch.naming import unused
from core.launch.start import start
from core.report.layout import PlannedPart
from core.report.prediction import Prediction
from core.report.rows import open_report
from core.report.store import read_parts
from core.runs.events import RunFinished
from core.runs.rundir import RunDirectory
from core.runs.state import is_active, read_marks, state_of
from core.workspace import write_json

_TWO = 2
_LOST = "\ufffd"
_OF_PROMPTS = ("source_prefix", "cutoff_len")
_NOT_OF_EVALUATIONS = ("redraws", "default_system")


@dataclass(frozen=True)
class Drawing:
    """How far the drawing is."""

    runs: tuple[str, ...] = ()
    """The folders of its evaluations, one after another."""
    prompts: int = 0
    """How many were asked; as long as answers are drawn, 0."""
    alike: int = 0
    """Prompts without a pair, because all answers were the same."""
    lacking: int = 0
    """Prompts without a pair, because there were no two answers that say something."""
    left_out: int = 0
    """Bad rows of the prompts' sets."""


@dataclass
class _Drawn:
    """The answers to one prompt, by who gave them."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)


def read_drawing(judging: Judging) -> Drawing:
    """How far the drawing is."""
    record = json.loads(judging.drawing.read_bytes()) if judging.drawing.is_file() else {}
    return Drawing(**{**record, "runs": tuple(record.get("runs", ()))})


def start_drawing(judging: Judging, left_out: int = 0) -> RunDirectory:
    """Start the first evaluation, of all prompts.

    Args:
        left_out: how many bad rows the prompts' sets have.

    Raises:
        ConfigError: all that stands against it.
    """
    prepared = _first(judging)
    write_json(judging.drawing, asdict(Drawing((str(prepared.run.path),), left_out=left_out)))
    return start(prepared)


def go_on_drawing(judging: Judging) -> RunDirectory | None:
    """The run that draws answers now, started if it is not going on; None when all are drawn, and the pairs kept.

    Raises:
        FinetuiError: it cannot be started.
    """
    if judging.is_drawn:
        return None
    drawing = read_drawing(judging)
    runs = [RunDirectory(Path(path)) for path in drawing.runs]
    if not runs or not all(run.launch.is_file() for run in runs):  # killed before there was one, or one was deleted
        return start_drawing(judging, drawing.left_out)
    if not _is_complete(runs[-1]):
        if not is_active(state_of(runs[-1])):
            resume(runs[-1])
        return runs[-1]
    prompts = kept_prompts(judging.prompts)
    drawn = _collected(runs)
    open_prompts = [prompt for prompt in prompts if _pair(prompt, drawn) is None]
    if open_prompts and len(runs) <= judging.settings[DrawingOptions].redraws and _can_differ(judging):
        return _draw_again(judging, drawing, open_prompts)
    alike = sum(_says_something(drawn.get(prompt.number)) for prompt in open_prompts)
    pairs = [pair for prompt in prompts if (pair := _pair(prompt, drawn)) is not None]
    ended = replace(drawing, prompts=len(prompts), alike=alike, lacking=len(open_prompts) - alike)
    write_json(judging.drawing, asdict(ended))
    judging.keep_pairs(pairs)
    return None


def refuse_under_way(judging: Judging) -> None:
    """Raises:
    RunError: its answers are being drawn just now.
    """
    for path in read_drawing(judging).runs:
        refuse_active(RunDirectory(Path(path)))


# --- evaluations -------------------------------------------------------------------------------------------------


def _first(judging: Judging) -> PreparedEvaluation:
    settings = judging.settings
    names = [*EvaluatedModelOptions.model_fields, *RemoteOptions.model_fields, *_OF_PROMPTS]
    names += [name for name in DrawingOptions.model_fields if name not in _NOT_OF_EVALUATIONS]
    every = settings.values()
    values: dict[str, Any] = {name: every[name] for name in names if settings.origins[name].source != "default"}
    drawing = settings[DrawingOptions]
    values |= {name: getattr(drawing, name) for name in ("temperature", "seed", "max_new_tokens")}
    values |= _asked(judging.prompts, f"{judging.name}-answers", judging)
    if settings[JudgingOptions].reward_model is not None:
        values["reward_model"] = settings[JudgingOptions].reward_model
    sources = _sources(every)
    values["repeats"] = _TWO if sources == 1 else 1
    _refuse(sources, drawing)
    return prepare_evaluation(load(EVALUATION, values=values), judging.workspace)


def _asked(prompts: Path, run: str, judging: Judging) -> dict[str, Any]:
    """Options about what is asked and where it is written; intervals of numbers are nobody's question here."""
    folder = unused(judging.workspace.runs / run)
    return {"dataset": [str(prompts.absolute())], "task": "answers", "output_dir": folder.name, "bootstrap": 0}


def _draw_again(judging: Judging, drawing: Drawing, prompts: Sequence[Prompt]) -> RunDirectory:
    """Ask some prompts again, of the very models that answered before, with another seed."""
    number, first = len(drawing.runs) + 1, RunDirectory(Path(drawing.runs[0]))
    path = judging.prompts.with_stem(f"{judging.prompts.stem}-{number}")
    write_prompts(path, prompts)
    changes = _asked(path, f"{judging.name}-answers-again", judging)
    seed = (judging.seed + number - 1) % (LARGEST_SEED + 1)
    # Twice of two models too: one's first answer beside the other's second has other draws of chance.
    settings = load(EVALUATION, file=first.config, values={**changes, "seed": seed, "repeats": _TWO})
    prepared = prepare_evaluation(settings, judging.workspace)
    write_json(judging.drawing, asdict(replace(drawing, runs=(*drawing.runs, str(prepared.run.path)))))
    return start(prepared)


def _sources(values: Mapping[str, Any]) -> int:
    """How many answer."""
    if values["api_base"]:
        return 1
    return max(1, len(values["adapter_name_or_path"]) + bool(values["include_base"]))


def _refuse(sources: int, drawing: DrawingOptions) -> None:
    """Raises:
    ConfigError: there will be no two answers to compare.
    """
    if sources > _TWO:
        what = _("{count} models would answer, and a pair has two answers").format(count=sources)
        raise ConfigError([Problem("adapter_name_or_path", what, _("name one or two"))])
    if sources == 1 and drawing.greedy:
        what = _("greedy answers of one model are the same")
        hint = _("give a temperature above 0, or a second model")
        raise ConfigError([Problem("temperature", what, hint)])


def _can_differ(judging: Judging) -> bool:
    return not judging.settings[DrawingOptions].greedy


def _is_complete(run: RunDirectory) -> bool:
    last = read_marks(run).last
    return isinstance(last, RunFinished) and last.reason == "completed"


# --- from answers to pairs ---------------------------------------------------------------------------------------


def _collected(runs: Sequence[RunDirectory]) -> dict[int, _Drawn]:
    """All answers by the number of their prompt, the earliest first."""
    found: dict[int, _Drawn] = {}
    for part, predictions in _parts(runs):
        for prediction in sorted(predictions, key=lambda one: (one.row, one.repeat)):
            of_source = found.setdefault(int(prediction.id), _Drawn()).answers.setdefault(part.subject, [])
            of_source.append(_answer(prediction, part.subject, len(of_source)))
    return found


def _parts(runs: Sequence[RunDirectory]) -> Iterator[tuple[PlannedPart, Sequence[Prediction]]]:
    for run in runs:
        for part in read_parts(run.path):
            yield part, open_report(run.path / part.folder).predictions


def _answer(prediction: Prediction, source: str, repeat: int) -> Answer:
    text = "" if prediction.error else prediction.predict
    truncated = prediction.finish_reason == "length"
    text = text.rstrip(_LOST) if truncated else text  # the limit may stand in the middle of a character
    return Answer(text, source, repeat, prediction.tokens, truncated, prediction.reward)


def _pair(prompt: Prompt, drawn: Mapping[int, _Drawn]) -> Pair | None:
    """The earliest two answers that differ: of two models one each, else of one model."""
    if (found := drawn.get(prompt.number)) is None:
        return None
    first, *others = found.answers.values()
    if others:
        chances = [(one, other) for one in first for other in others[0]]
    else:
        chances = [(one, other) for at, one in enumerate(first) for other in first[at + 1 :]]
    chances.sort(key=lambda two: (max(two[0].repeat, two[1].repeat), two[0].repeat))
    for one, other in chances:
        if one.text.strip() and other.text.strip() and one.text.strip() != other.text.strip():
            return Pair(prompt.number, prompt.messages, one, other)
    return None


def _says_something(found: _Drawn | None) -> bool:
    """Whether everybody has an answer; then those were alike."""
    if found is None:
        return False
    with_text = [sum(bool(answer.text.strip()) for answer in answers) for answers in found.answers.values()]
    return min(with_text) >= (1 if len(with_text) > 1 else _TWO)
