"""All sections of an evaluation: which models answer which test sets, how, and what is measured.

The names are those of trainings and chats, so that a file or a command written for one says the same to the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from core.config.fields import Also, Section, Shown, SplitAt
from core.config.foreign import LOADING
from core.config.foreign_evaluation import (
    EVALUATING,
    PREDICTING,
    READ_ANYWAY,
    TESTED_ROWS,
    TUNED,
    WRITTEN_ANYWAY,
)
from core.config.generation import GenerationOptions
from core.config.measuring import MeasuringOptions
from core.config.model import BaseModelOptions
from core.config.remote import RemoteOptions
from core.errors import Problem
from core.i18n import _

Limit = Annotated[int | None, Field(ge=1)]


class EvaluatedModelOptions(BaseModelOptions):
    """Which models answer."""

    elsewhere: ClassVar[Mapping[str, str]] = {**LOADING, **TUNED}

    adapter_name_or_path: Annotated[
        tuple[str, ...],
        SplitAt(","),
        Also("adapter", "checkpoint_dir", "ptuning_checkpoint", "names"),
        Shown("ADAPTER,…"),
    ] = ()
    """Adapters, runs or checkpoints (RUN@200) to evaluate, each by itself; they may stand without the option's name.
    They share one set of weights, by default of the model that they were trained on. A run that trained a whole model
    is taken too."""

    include_base: bool = False
    """Evaluate the model without its adapters too, to compare with."""

    finetuning_type: Literal["lora", "p_tuning", "full", "freeze"] | None = None
    """How the adapter was trained. Read from the adapter itself; when given, it has to agree."""

    quantization_bit: Annotated[int | None, Field(ge=4, le=8)] = None
    """Hold the model's weights in 8 or 4 bits; needs the extra `quant`."""

    fp16: bool = False
    """The same as dtype float16; float32 with a warning where no device computes in it."""

    bf16: Annotated[bool, Also("pure_bf16")] = False
    """The same as dtype bfloat16. It flips near-ties: answers then differ from those of float32."""

    def conflicts(self) -> Iterator[Problem]:
        if self.quantization_bit not in (None, 4, 8):
            yield Problem("quantization_bit", _("has to be 4 or 8"))
        if self.fp16 and self.bf16:
            yield Problem("bf16", _("stands beside fp16"), _("give one of the two"))
        if (self.fp16 or self.bf16) and self.dtype not in ("auto", "float16" if self.fp16 else "bfloat16"):
            option = "fp16" if self.fp16 else "bf16"
            yield Problem(option, _("stands beside dtype {dtype}").format(dtype=self.dtype), _("give one of the two"))

    @property
    def number_format(self) -> Literal["auto", "float32", "bfloat16", "float16"]:
        """The number format that dtype, fp16 and bf16 ask for together."""
        return "float16" if self.fp16 else "bfloat16" if self.bf16 else self.dtype


class EvaluatedDataOptions(Section):
    """Which questions are asked."""

    title: ClassVar[str] = "Test data"
    elsewhere: ClassVar[Mapping[str, str]] = TESTED_ROWS
    anyway: ClassVar[tuple[str, ...]] = READ_ANYWAY

    dataset: Annotated[
        tuple[str, ...], SplitAt(","), Also("eval_dataset", "predict_dataset", "test_file"), Shown("NAME,…")
    ] = ()
    """Test sets by their names in dataset_info.json, or files; each is evaluated by itself."""

    dataset_dir: Annotated[str, Field(min_length=1), Shown("FOLDER")] = "data"
    """Where dataset_info.json and its files lie, in the workspace."""

    task: Literal["auto", "answers", "choices", "comparisons"] = "auto"
    """answers: write an answer to each question. choices: tell A, B, C or D by the next token's probability, in files
    such as those of MMLU and C-Eval. comparisons: reward models score both answers of each question. auto: by the
    columns."""

    max_samples: Limit = None
    """At most this many rows of each test set, from its beginning."""

    n_shot: Annotated[int, Field(ge=0, le=64)] = 0
    """With choices: solved questions of shot_dataset that stand before each question."""

    shot_dataset: Annotated[str | None, Shown("NAME")] = None
    """With choices: the set that solved questions are taken from."""

    prompt_column: Annotated[str | None, Shown("COLUMN")] = None
    """The column of the question, for files whose columns have other names (content, context, prompt)."""

    response_column: Annotated[str | None, Shown("COLUMN")] = None
    """The column of the reference answer (summary, target, completion)."""

    history_column: Annotated[str | None, Shown("COLUMN")] = None
    """The column of the earlier turns, as pairs of question and answer."""

    source_prefix: Annotated[str | None, Shown("TEXT")] = None
    """A text put in front of every conversation's first question. Not given: each adapter's own, as in chats."""

    cutoff_len: Annotated[int | None, Field(ge=8), Also("max_source_length", "model_max_length")] = None
    """The longest prompt in tokens; of longer ones the oldest turns leave, which is reported. Not given: the
    model's context decides."""

    on_bad_rows: Literal["stop", "skip"] = "stop"
    """Rows with mistakes: stop before anything is loaded, or leave them out and say how many."""

    @property
    def mix_strategy(self) -> Literal["concat", "interleave_under", "interleave_over"]:
        """Each set is read by itself (`core.data.examples.RowChoices`)."""
        return "concat"

    @property
    def interleave_probs(self) -> tuple[str, ...]:
        return ()

    def conflicts(self) -> Iterator[Problem]:
        if self.n_shot and self.shot_dataset is None:
            yield Problem("n_shot", _("needs solved questions"), _("name their set with shot_dataset"))
        if self.task == "answers" and self.n_shot:
            yield Problem("n_shot", _("belongs to the task choices"), _("leave it out"))


class PredictionOptions(GenerationOptions):
    """How an answer is made. Greedy unless a temperature is given, so that numbers repeat."""

    elsewhere: ClassVar[Mapping[str, str]] = PREDICTING

    max_new_tokens: Annotated[int, Field(ge=1), Also("generation_max_length", "max_target_length")] = 512
    """The longest answer, in tokens."""

    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 42
    """The same seed draws the same answers again, and the same intervals."""

    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    """Answer every question this often, with temperature above 0, and tell how much the numbers vary."""

    per_device_eval_batch_size: Annotated[int | None, Field(ge=1), Also("batch_size")] = None
    """Rows that answer at once. Not given: as memory allows. Greedy answers do not depend on it."""

    def conflicts(self) -> Iterator[Problem]:
        yield from super().conflicts()
        if self.repeats > 1 and self.greedy:
            what = _("greedy answers are the same every time")
            yield Problem("repeats", what, _("give a temperature above 0, or leave repeats out"))


class MetricOptions(MeasuringOptions):
    """What is measured, the model's own judgement among it."""

    reference_loss: bool = False
    """Loss and perplexity of the reference answers too; a second pass over the rows."""

    reward_model: Annotated[str | None, Field(min_length=1), Shown("MODEL")] = None
    """A reward model that scores every answer: a run's folder with a value head, or a classification model."""


class EvaluationOutputOptions(Section):
    """What an evaluation writes, and where."""

    title: ClassVar[str] = "Run"
    elsewhere: ClassVar[Mapping[str, str]] = EVALUATING
    anyway: ClassVar[tuple[str, ...]] = WRITTEN_ANYWAY

    output_dir: Annotated[str | None, Field(min_length=1), Shown("NAME")] = None
    """The evaluation's folder: a bare name lies in runs/, a path is taken as it is. Not given: named after model and
    data."""

    overwrite_output_dir: bool = False
    """Remove what an earlier run left in the folder."""

    resume: bool = False
    """Go on with an evaluation that ended early; rows that are answered stay as they are."""

    logging_steps: Annotated[int, Field(ge=1)] = 20
    """Answered rows between two looks at the metrics so far."""

    strict: bool = False
    """Refuse what this machine cannot do as asked (fp16 on a CPU), where else a warning is recorded."""

    def conflicts(self) -> Iterator[Problem]:
        if self.resume and self.output_dir is None:
            yield Problem("resume", _("of which evaluation?"), _("name it with output_dir"))
        if self.resume and self.overwrite_output_dir:
            yield Problem("resume", _("would be deleted by overwrite_output_dir"), _("leave one of the two out"))


class PredictStageOptions(Section):
    """What LLaMA-Factory's files and commands for predictions say besides, so that they run unchanged."""

    title: ClassVar[str] = "As in LLaMA-Factory"

    stage: Literal["sft", "pt", "rm", "ppo", "dpo", "kto"] = "sft"
    """Which training is meant; answers are those of sft. rm: reward models score pairs, task comparisons."""

    do_predict: bool = True
    """Answer test sets; this is what the verb does."""

    do_train: bool = False
    """Training is another verb, and another run."""

    predict_with_generate: bool = True
    """Write answers, instead of guessing each next token of the reference."""

    report_to: Literal["none", "all", "wandb", "tensorboard", "swanlab", "mlflow", "trackio", "neptune"] = "none"
    """Reports are written to the run's folder and shown by finetui; others than none are refused."""

    def conflicts(self) -> Iterator[Problem]:
        if self.stage not in ("sft", "rm"):
            what = _("predictions are made the same way after each training")
            yield Problem("stage", what, _("give sft, or leave it out"))
        if self.do_train:
            yield Problem("do_train", _("nothing is trained here"), _("first finetui train, then finetui eval"))
        if not self.do_predict:
            yield Problem("do_predict", _("false leaves nothing to do"), _("leave it out"))
        if not self.predict_with_generate and self.stage != "rm":
            what = _("guesses of next tokens that see the reference are no answers")
            hint = _("leave it out; reference_loss tells loss and perplexity of the references")
            yield Problem("predict_with_generate", what, hint)
        if self.report_to not in ("none", "all"):
            what = _("finetui sends nothing to {name}").format(name=self.report_to)
            yield Problem("report_to", what, _("give none; report.json has every number"))


EVALUATION: tuple[type[Section], ...] = (
    EvaluatedModelOptions,
    RemoteOptions,
    EvaluatedDataOptions,
    PredictionOptions,
    MetricOptions,
    EvaluationOutputOptions,
)


def contradictions(values: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong between options of different sections that are each right; `Problem.where` is an option's name."""
    judged = {"loss", "perplexity"} & set(values["metrics"])
    if judged and not values["reference_loss"]:
        what = _("{name} needs a second pass, over the reference answers").format(name=min(judged))
        yield Problem("metrics", what, _("give reference_loss too"))
    if "reward" in values["metrics"] and values["reward_model"] is None:
        yield Problem("metrics", _("reward needs a reward model"), _("name it with reward_model"))
    if values["api_base"]:
        needs_weights = ("adapter_name_or_path", "include_base", "quantization_bit", "reference_loss", "reward_model")
        for name in (*needs_weights, "cutoff_len"):
            if values[name]:
                hint = _("leave it out, or leave api_base out")
                yield Problem(name, _("a served model cannot be asked for that"), hint)
        if values["task"] == "choices":
            what = _("choices are told by probabilities, which the server does not give")
            yield Problem("task", what, _("leave it out, or leave api_base out"))
