"""Whether a command line asks for predictions: `train --do_predict …`, and files of LLaMA-Factory that say so.

Predictions have other options than a training, so it has to be known before any of them is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.config.command_line import read_command_line
from core.config.fields import FieldSpec
from core.config.sources import Entry, read_file
from core.errors import ConfigError, Problem
from core.i18n import _

_YES = ("true", "1", "yes", "on", "t", "y")


def asks_for_prediction(arguments: Sequence[str], specs: Sequence[FieldSpec]) -> bool:
    """Whether `do_predict` is switched on, as a word or in the file that is named, and nothing is to be trained.

    Args:
        specs: every option that may stand there; what they say tells switches from options with a value.

    Raises:
        ConfigError: a training is asked for as well, which leaves no scores of pairs.
    """
    typed = {entry.key: entry for entry in read_command_line(arguments, specs).entries}
    given = {**_of_file(typed.get("config")), **typed}
    predict, train = given.get("do_predict"), given.get("do_train")
    if predict is None or not _is_yes(predict):
        return False
    if train is not None and _is_yes(train):
        if (stage := given.get("stage")) is not None and stage.raw == "rm":
            return False  # its training scores pairs at its end
        what = _("stands beside do_train: they are two runs here, and the second needs the first one's adapter")
        first = _("finetui train … without do_predict")
        second = _("finetui eval --adapter_name_or_path OUTPUT_DIR --dataset SET")
        hint = _("type {first}, and when that has ended {second}").format(first=first, second=second)
        raise ConfigError([Problem(predict.where, what, hint)])
    return True


def _of_file(config: Entry | None) -> dict[str, Entry]:
    """The options of a file; none of one that cannot be read, which the loader tells."""
    if config is None or not isinstance(config.raw, str):
        return {}
    try:
        return {entry.key: entry for entry in read_file(Path(config.raw))}
    except ConfigError:
        return {}


def _is_yes(entry: Entry) -> bool:
    return str(entry.raw).lower() in _YES
