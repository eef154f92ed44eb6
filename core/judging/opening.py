"""A judging is begun, or gone on with: the same name means the same answers, so what they depend on stays as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

from core.config.fields import shown
from core.config.load import Settings, load
from core.config.save import as_yaml
from core.data.catalog import read_catalog
from core.data.dataset_file import check_name, replace_file
from core.errors import ConfigError, DataError, FinetuiError, Problem, WorkspaceError
from core.i18n import _
from core.judging.drawing import refuse_under_way, start_drawing
from core.judging.folder import Judging, data_folder_of, find_judging, judging_folder, options_file
from core.judging.options import JUDGING, DrawingOptions, JudgingOptions, PromptOptions, contradictions
from core.judging.prompts import read_prompts, write_prompts
from core.launch.naming import plain_name
from core.untrusted import inert_line
from core.workspace import Workspace

_MAY_CHANGE = (
    *("per_device_eval_batch_size", "threads", "api_concurrency", "api_timeout", "api_retries", "api_key_variable"),
    *("judge", "min_margin", "output", "overwrite", "yes", "json", "dataset_dir"),
)


def open_judging(settings: Settings, workspace: Workspace) -> Judging:
    """Go on with what was begun under the name that options give; where nothing was, begin to draw.

    Args:
        settings: of the sections in `core.judging.options.JUDGING`.

    Raises:
        ConfigError: options are wrong, or are others than those that it was begun with.
        DataError: there are no prompts, or the name is taken by another data set.
    """
    data, name = data_folder_of(settings, workspace), output_name(settings)
    judging = Judging(data, name, settings, workspace)
    if not options_file(judging.folder).is_file():
        _refuse_contradictions(judging)
        _refuse_taken(judging)
        return _begin(judging)
    kept = find_judging(name, workspace, data)
    if settings[JudgingOptions].overwrite:
        _refuse_contradictions(judging)
        refuse_under_way(kept)
        return _begin_anew(judging)
    goes_on = Judging(data, name, _overlaid(settings, kept.settings), workspace)
    _refuse_contradictions(goes_on)
    return goes_on


def output_name(settings: Settings) -> str:
    """The name of the data set that will be written.

    Raises:
        ConfigError: neither a name nor prompts are given.
        WorkspaceError: it cannot be the name of a data set.
    """
    given, sets = settings[JudgingOptions].output, settings[PromptOptions].dataset
    if given is None and not sets:
        hint = _("give prompts with --dataset NAME, or go on with --output NAME")
        raise ConfigError([Problem("dataset", _("there is nothing to ask"), hint)])
    name = given or f"{plain_name(Path(sets[0]).stem)}_preferences"
    check_name(name)
    return name


def has_verdicts(settings: Settings, workspace: Workspace) -> bool:
    """Whether somebody's judgements are kept under the name, which `overwrite` would forget."""
    folder = judging_folder(data_folder_of(settings, workspace), output_name(settings))
    return (folder / "verdicts.jsonl").is_file()


def _begin(judging: Judging) -> Judging:
    """Keep the options and the prompts, and start to draw; a mistake leaves nothing behind.

    Raises:
        FinetuiError: it cannot be begun.
    """
    options, drawing = judging.settings[PromptOptions], judging.settings[DrawingOptions]
    prompts, left_out = read_prompts(
        options, judging.workspace, seed=drawing.seed, default_system=drawing.default_system
    )
    try:
        judging.folder.mkdir(parents=True, exist_ok=True)
        write_prompts(judging.prompts, prompts)
        replace_file(options_file(judging.folder), as_yaml(judging.settings, *JUDGING).encode())
        start_drawing(judging, left_out)
    except OSError as error:
        shutil.rmtree(judging.folder, ignore_errors=True)
        told = _("cannot write {path}: {reason}").format(path=inert_line(str(judging.folder)), reason=error.strerror)
        raise WorkspaceError(told, _("free some space or change the permissions")) from error
    except FinetuiError:
        shutil.rmtree(judging.folder, ignore_errors=True)
        raise
    return judging


def _begin_anew(judging: Judging) -> Judging:
    """Begin where there is a judging already; that one is gone only when the new one has begun."""
    aside = judging.folder.with_name(f".{judging.name}.before")
    shutil.rmtree(aside, ignore_errors=True)  # of one that was killed here
    judging.folder.rename(aside)
    try:
        begun = _begin(judging)
    except FinetuiError:
        aside.rename(judging.folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)
    return begun


def _refuse_contradictions(judging: Judging) -> None:
    """Raises:
    ConfigError: options that do not go together.
    """
    problems = list(contradictions(judging.options))
    if problems:
        raise ConfigError(problems)


def _refuse_taken(judging: Judging) -> None:
    """Raises:
    DataError: the name is that of a data set which no judging wrote.
    """
    if judging.name in read_catalog(judging.data).entries or judging.written.exists():
        what = _("there is a data set {name} already, and these pairs would take its place")
        raise DataError(what.format(name=inert_line(judging.name)), _("take another --output"))


def _overlaid(given: Settings, kept: Settings) -> Settings:
    """The options that it was begun with, and over them what is given now and may change.

    Raises:
        ConfigError: something is given that would have other answers.
    """
    before, now = kept.values(), given.values()
    typed = [name for name in now if given.origins[name].source != "default"]
    changed = [
        Problem(
            given.origins[name].where or name,
            _("was {value} when these pairs were begun, and stays so").format(
                value=inert_line(shown(before[name])) or _("not given")
            ),
            _("leave it out, or take another --output, or --overwrite to begin anew"),
        )
        for name in typed
        if name in before and name not in _MAY_CHANGE and now[name] != before[name]
    ]
    if changed:
        raise ConfigError(changed)
    # What a command does this time is no matter of the time before.
    this_time = {name: now[name] for name in ("judge", "overwrite", "yes", "json")}
    return load(JUDGING, values=before | this_time | {name: now[name] for name in typed if name in before})
