"""What a model is trained on, and what becomes of a row on its way to tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from core.config.fields import Also, Section, Shown, SplitAt
from core.config.foreign import ROWS
from core.errors import Problem
from core.i18n import _

Limit = Annotated[int | None, Field(ge=1)]


class DataOptions(Section):
    """Which rows are read, and how they are cut."""

    title: ClassVar[str] = "Data"
    elsewhere: ClassVar[Mapping[str, str]] = ROWS

    dataset: Annotated[tuple[str, ...], SplitAt(","), Shown("NAME,…")] = ()
    """Data sets by their names in dataset_info.json, or files; several are joined in this order."""

    dataset_dir: Annotated[str, Field(min_length=1), Shown("FOLDER")] = "data"
    """Where dataset_info.json and its files lie, in the workspace."""

    eval_dataset: Annotated[tuple[str, ...], SplitAt(","), Also("validation_file"), Shown("NAME,…")] = ()
    """Data sets whose loss is looked at during the training, each by itself."""

    val_size: Annotated[float, Field(ge=0)] = 0.0
    """Rows kept out of the training for evaluation: below 1 a share, else a number of rows. 0: none."""

    max_samples: Limit = None
    """At most this many rows of each data set, from its beginning."""

    mix_strategy: Literal["concat", "interleave_under", "interleave_over"] = "concat"
    """How several data sets are mixed. interleave: by turns, until the first (under) or the last (over) is used up."""

    interleave_probs: Annotated[tuple[str, ...], SplitAt(","), Shown("P,…")] = ()
    """With interleave: the share of each data set. Empty: equal shares."""

    prompt_column: Annotated[str | None, Shown("COLUMN")] = None
    """The column of the question, for files whose columns have other names (content, context, prompt)."""

    response_column: Annotated[str | None, Shown("COLUMN")] = None
    """The column of the answer (summary, target, completion)."""

    history_column: Annotated[str | None, Shown("COLUMN")] = None
    """The column of the earlier turns, as pairs of question and answer."""

    source_prefix: Annotated[str, Shown("TEXT")] = ""
    """A text put in front of every conversation's first question. It travels with the adapter, and chats use it too."""

    default_system: Annotated[str, Also("system", "system_prompt"), Shown("TEXT")] = ""
    """The system prompt of rows that bring none. It travels with the adapter."""

    enable_thinking: bool | None = None
    """For models that can think before they answer. Not given: as their template has it."""

    cutoff_len: Annotated[int, Field(ge=8), Also("model_max_length", "max_seq_length")] = 2048
    """The longest row in tokens, question and answer together."""

    max_source_length: Limit = None
    """The longest question (with all that stands before the last answer), in tokens. Not given: cutoff_len decides."""

    max_target_length: Limit = None
    """The longest answer, in tokens."""

    on_long_rows: Literal["cut", "drop"] = "cut"
    """Rows that are too long: cut them, keeping the end of the answer, or leave them out. Both are reported."""

    on_bad_rows: Literal["stop", "skip"] = "stop"
    """Rows with mistakes: stop before anything is loaded, or leave them out and say how many."""

    train_on_prompt: bool = False
    """Put loss on the question too, not on the answer alone."""

    mask_history: bool = False
    """Put loss on the last answer of a conversation only, not on the earlier ones."""

    packing: Annotated[bool, Also("neat_packing")] = False
    """Join short rows up to cutoff_len tokens and count them as one row of a batch; no row sees another."""

    overwrite_cache: bool = False
    """Tokenise again, even when these rows have been before."""

    preprocessing_num_workers: Annotated[int, Field(ge=0)] = 0
    """Processes that tokenise. 0: the cores that are free, where there is enough to do."""

    ignore_pad_token_for_loss: bool = True
    """Padding bears no loss; false is refused."""

    def conflicts(self) -> Iterator[Problem]:
        if self.max_source_length and self.max_source_length >= self.cutoff_len:
            what = _("is not below cutoff_len {cutoff}").format(cutoff=self.cutoff_len)
            yield Problem("max_source_length", what, _("raise cutoff_len, or leave max_source_length out"))
        if self.max_target_length and self.max_target_length > self.cutoff_len:
            what = _("is above cutoff_len {cutoff}").format(cutoff=self.cutoff_len)
            yield Problem("max_target_length", what, _("raise cutoff_len, or leave max_target_length out"))
        if self.interleave_probs and self.mix_strategy == "concat":
            yield Problem("interleave_probs", _("means nothing without interleaving"), _("set mix_strategy"))
        if self.val_size and self.eval_dataset:
            yield Problem("val_size", _("stands beside eval_dataset"), _("give one of the two"))
        if self.val_size >= 1 and self.val_size != int(self.val_size):
            yield Problem("val_size", _("is neither a share below 1 nor a whole number of rows"))
        if not self.ignore_pad_token_for_loss:
            hint = _("leave it out: there is no padding to put loss on")
            yield Problem("ignore_pad_token_for_loss", _("false is not possible"), hint)
