"""All sections of `finetui data preferences`: who answers, what is asked, how answers are drawn, who judges.

The names are those of evaluations, which draw the answers. `pairs.yaml` in the folder of a judging is made of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from core.config.evaluation import EvaluatedModelOptions
from core.config.fields import Also, Section, Shown, SplitAt
from core.config.generation import GenerationOptions
from core.config.remote import RemoteOptions
from core.errors import Problem
from core.i18n import _

LARGEST_SEED = 2**32 - 1


class PromptOptions(Section):
    """Which prompts are answered."""

    title: ClassVar[str] = "Prompts"

    dataset: Annotated[tuple[str, ...], SplitAt(","), Shown("NAME,…")] = ()
    """Sets by their names in dataset_info.json, or files: their questions are asked, with system prompt and history.
    Sets of comparisons are taken too, and sets of questions alone."""

    dataset_dir: Annotated[str, Field(min_length=1), Shown("FOLDER")] = "data"
    """Where dataset_info.json and its files lie, in the workspace; the pairs are written there too."""

    max_samples: Annotated[int | None, Field(ge=1)] = None
    """At most this many rows of each set, from its beginning."""

    prompt_column: Annotated[str | None, Shown("COLUMN")] = None
    """The column of the question, for files whose columns have other names (content, context, prompt)."""

    response_column: Annotated[str | None, Shown("COLUMN")] = None
    """The column of the answer, which is not shown to whoever judges."""

    history_column: Annotated[str | None, Shown("COLUMN")] = None
    """The column of the earlier turns, as pairs of question and answer."""

    source_prefix: Annotated[str | None, Shown("TEXT")] = None
    """A text put in front of every conversation's first question when it is answered; it is not written into the pairs,
    where a training puts its own. Not given: each adapter's own, as in chats."""

    cutoff_len: Annotated[int | None, Field(ge=8), Also("max_source_length")] = None
    """The longest prompt in tokens; of longer ones the oldest turns leave. Not given: the model's context decides."""

    on_bad_rows: Literal["stop", "skip"] = "stop"
    """Rows with mistakes: stop before anything is drawn, or leave them out and say how many."""

    @property
    def mix_strategy(self) -> Literal["concat", "interleave_under", "interleave_over"]:
        """Sets follow one another (`core.data.examples.RowChoices`)."""
        return "concat"

    @property
    def interleave_probs(self) -> tuple[str, ...]:
        return ()


class DrawingOptions(GenerationOptions):
    """How answers are drawn."""

    title: ClassVar[str] = "Answers"

    temperature: Annotated[float, Field(ge=0, le=5)] = 1.0
    """How freely the next token is drawn. 0, always the most likely one, needs two models to tell apart."""

    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] = 42
    """The same seed draws the same answers again, and shuffles them in the same way."""

    max_new_tokens: Annotated[int, Field(ge=1), Also("max_target_length")] = 256
    """The longest answer, in tokens."""

    redraws: Annotated[int, Field(ge=0, le=20)] = 3
    """How often answers that are the same are drawn again with other seeds, before their prompt is left out."""

    per_device_eval_batch_size: Annotated[int | None, Field(ge=1), Also("batch_size")] = None
    """Answers that are drawn at once. Not given: as memory allows."""


class JudgingOptions(Section):
    """Who judges, and what becomes of it."""

    title: ClassVar[str] = "Judging"

    judge: Literal["auto", "app", "reward", "nobody"] = "auto"
    """app: a person, blind, on the terminal. reward: reward_model. nobody: the answers are drawn, and judged another
    time. auto: by the reward model where one is given, else in the app on a terminal, else nobody."""

    reward_model: Annotated[str | None, Field(min_length=1), Shown("MODEL")] = None
    """A reward model that scores every answer: a run's folder with a value head, or a classification model. With judge
    app it is told how often the two agree."""

    min_margin: Annotated[float, Field(ge=0)] = 0.0
    """Pairs whose rewards lie closer together than this, or are the same, count as ties."""

    output: Annotated[str | None, Field(min_length=1), Shown("NAME")] = None
    """The data set that is written, NAME.jsonl; the same name goes on where it was. Not given: named after the
    prompts."""

    overwrite: bool = False
    """Begin anew, and forget answers and judgements that are kept under this name."""

    yes: bool = False
    """Do not ask; -y too."""

    json_records: Annotated[bool, Field(alias="json")] = False
    """Print what came out as JSON."""


JUDGING: tuple[type[Section], ...] = (
    EvaluatedModelOptions,
    RemoteOptions,
    PromptOptions,
    DrawingOptions,
    JudgingOptions,
)


def contradictions(options: JudgingOptions) -> Iterator[Problem]:
    """What is wrong between options when those that a judging was begun with are among them."""
    if options.reward_model is None:
        hint = _("name it with reward_model")
        if options.judge == "reward":
            yield Problem("judge", _("reward needs a reward model"), hint)
        if options.min_margin:
            yield Problem("min_margin", _("is between rewards, and no reward model gives any"), hint)
