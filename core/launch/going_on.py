"""`finetui eval --resume`: the options of an evaluation that ended early, and what may still be another.

What is answered already was answered under the stored options. So the rest has to be as well; only what changes no
answer may be given anew: how fast it goes, and what is measured at the end.
"""

from __future__ import annotations

from core.config.evaluation import EVALUATION
from core.config.fields import shown
from core.config.load import Settings, load
from core.errors import ConfigError, Problem
from core.i18n import _
from core.launch.naming import run_folder
from core.runs.launch_file import read_launch
from core.runs.rundir import RunDirectory
from core.untrusted import inert_line
from core.workspace import Workspace

_MAY_CHANGE = (
    *("per_device_eval_batch_size", "threads", "api_concurrency", "api_timeout", "api_retries", "api_key_variable"),
    *("metrics", "long_label", "list_separator", "bootstrap", "logging_steps", "strict"),
    *("output_dir", "overwrite_output_dir", "resume"),
)


def overlaid(settings: Settings, workspace: Workspace) -> Settings:
    """The stored options of the evaluation in `output_dir`, and over them what is given now.

    Raises:
        ConfigError: there is none.
    """
    values = settings.values()
    if values["output_dir"] is None:
        return settings  # a conflict of its section, told by the loader
    run = RunDirectory(run_folder(values["output_dir"], workspace))
    stored = _stored(settings, run)
    sections = dict(settings.sections)
    origins = dict(settings.origins)
    for section in EVALUATION:
        given = {name for name in section.model_fields if settings.origins[name].source != "default"}
        sections[section] = stored[section].model_copy(update={name: values[name] for name in given})
        origins |= {name: stored.origins[name] for name in section.model_fields if name not in given}
    return Settings(sections, origins)


def refuse_changes(given: Settings, settings: Settings, run: RunDirectory) -> None:
    """Raises:
    ConfigError: options that are given now would have other answers than those that stand there.
    """
    values, before = settings.values(), _stored(given, run).values()
    changed = [
        Problem(
            given.origins[name].where or name,
            _("was {value} when the evaluation began, and stays so").format(
                value=shown(before[name]) or _("not given")
            ),
            _("leave it out, or start another evaluation in another output_dir"),
        )
        for section in EVALUATION
        for name in section.model_fields
        if name not in _MAY_CHANGE and given.origins[name].source != "default" and values[name] != before[name]
    ]
    if changed:
        raise ConfigError(changed)


def _stored(settings: Settings, run: RunDirectory) -> Settings:
    if read_launch(run).kind != "evaluation" or not run.config.is_file():
        what = _("there is no evaluation in {path}").format(path=inert_line(str(run.path)))
        where = settings.origins["resume"].where or "resume"
        raise ConfigError([Problem(where, what, _("leave resume out to start one; finetui runs list shows them"))])
    return load(EVALUATION, file=run.config)
