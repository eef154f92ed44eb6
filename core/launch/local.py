"""Starting runs on this machine, and going on with them: files are written, a supervisor is started, that is all.

Whoever starts a run may die at once. The supervisor has no parent, no terminal and nothing to read, and writes to the
run's folder alone.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from core.errors import RunError
from core.i18n import _
from core.launch.folder import clear_folder, refuse_active
from core.runs.alive import this_host
from core.runs.catalog import enter_run, strike_run
from core.runs.events import RunFinished
from core.runs.launch_file import Launch, read_launch, write_launch
from core.runs.rundir import PIPELINE, RunDirectory
from core.runs.state import read_marks
from core.untrusted import inert, inert_line
from core.workspace import Workspace

# `-P` and PYTHONSAFEPATH: a folder named `core` where the user stands is never imported. The others have to be set
# before torch is imported: OpenMP threads that spin while they wait cost 2–4× on a busy machine; oneDNN, and torch's
# way to it, keep what they prepared for a thousand shapes each, and rows have other lengths at every step, so that in
# bfloat16 the PPO of a small model grew by 25 MB a step. A few are enough for all layers of a pass.
ENVIRONMENT = {
    "PYTHONSAFEPATH": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
    "LRU_CACHE_CAPACITY": "64",
    "PYTHONUNBUFFERED": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
_RESUME = "--resume"

COMMAND_VARIABLE = "FINETUI_TRAINER_COMMAND"
"""A JSON list in the environment that is started instead of the trainer, before the run's folder: for tests."""

EVALUATOR_VARIABLE = "FINETUI_EVALUATOR_COMMAND"
"""The same in the place of the process that evaluates."""


def train_command(run: RunDirectory, processes: int = 1, checkpoint: str = "") -> tuple[str, ...]:
    """The words that train what a run's `config.yaml` says, on this machine, from a checkpoint where one is named."""
    words = (str(run.path), *((_RESUME, checkpoint) if checkpoint else ()))
    if given := os.environ.get(COMMAND_VARIABLE):
        return (*json.loads(given), *words)
    module = ("core.engine.train", *words)
    if processes == 1:
        return (sys.executable, "-P", "-m", *module)
    # Workers get less time to save than torchrun itself has before it is killed. PYTHONSAFEPATH reaches them too.
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes))
    return (sys.executable, "-P", *torchrun, "--shutdown-timeout", "50", "-m", *module)


def evaluate_command(run: RunDirectory, *, go_on: bool = False) -> tuple[str, ...]:
    """The words that make the evaluation that a run's `config.yaml` says, or go on with it."""
    words = (str(run.path), *((_RESUME,) if go_on else ()))
    if given := os.environ.get(EVALUATOR_VARIABLE):
        return (*json.loads(given), *words)
    return (sys.executable, "-P", "-m", "core.engine.evaluate", *words)


def launch_run(run: RunDirectory, config: str, launch: Launch, workspace: Workspace) -> None:
    """Write a new run's files and start it; the folder exists. Returns when the supervisor has said that it lives.

    Raises:
        RunError: the files cannot be written, or the supervisor did not come to life.
    """
    try:
        run.config.write_text(config, encoding="utf-8")
        write_launch(run, launch)
    except OSError as error:
        told = _("cannot write {path}: {reason}")
        raise RunError(told.format(path=inert_line(str(run.path)), reason=error.strerror)) from error
    enter_run(run, workspace)
    _start_supervisor(run, launch)


def _start_supervisor(run: RunDirectory, launch: Launch) -> None:
    run.granted("stop")  # a wish that a dead supervisor did not hear is not meant for this one
    command = [sys.executable, "-P", "-m", "core.launch.supervise", "--detach", str(run.path)]
    environment = {**os.environ, **ENVIRONMENT, **launch.environment}
    with run.log.open("ab") as log:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd="/",  # no disk is kept busy by it, and none that goes away hurts it
            start_new_session=True,
            check=False,
        )
    if done.returncode:
        lines = run.log.read_text(errors="replace").strip().splitlines()
        raise RunError(
            _("the run {name} did not start").format(name=inert_line(run.name)), inert("\n".join(lines[-3:]))
        )


def resume(run: RunDirectory, checkpoint: str | None = None) -> None:
    """Go on with a run: a training from its newest checkpoint or the one of that name, an evaluation where it was.

    The options stay as they were.

    Raises:
        RunError: it is still going on, there is nothing to go on from, or nothing left to do.
    """
    refuse_active(run)
    launch = read_launch(run)
    if not launch.command:
        told = _("the run {name} was not started by finetui").format(name=inert_line(run.name))
        raise RunError(
            told, _("its adapter can be trained further: --adapter_name_or_path {name}").format(name=run.name)
        )
    found = _checkpoint_name(run, launch, checkpoint)
    launch = where_it_lies_now(run, launch)
    again = dataclasses.replace(
        launch,
        command=(*without_resume(launch.command), _RESUME, *([found] if found else [])),
        segment=launch.segment + 1,
        resumed_from=found,
        time=time.time(),
        host=this_host(),
    )
    start_segment(run, again)


def start_segment(run: RunDirectory, launch: Launch) -> None:
    """Start what a run's folder holds once more. Returns when the supervisor has said that it lives.

    Raises:
        RunError: it did not come to life.
    """
    write_launch(run, launch)
    _start_supervisor(run, launch)


def _checkpoint_name(run: RunDirectory, launch: Launch, checkpoint: str | None) -> str:
    """What is gone on from; nothing for an evaluation and a pipeline, whose folders tell what is done."""
    if launch.kind == PIPELINE:
        _refuse_all_done(run, checkpoint)
        return ""
    if launch.kind != "evaluation":
        found = find_checkpoint(run, checkpoint)
        _refuse_complete(run, found)
        return found.name
    if checkpoint:
        raise RunError(_("an evaluation has no checkpoints"), _("leave it out: every answer is kept"))
    refuse_answered(run)
    return ""


def _refuse_all_done(run: RunDirectory, checkpoint: str | None) -> None:
    last, name = read_marks(run).last, inert_line(run.name)
    if checkpoint:
        raise RunError(_("a pipeline has no checkpoints"), _("leave it out: its steps have theirs"))
    if isinstance(last, RunFinished) and last.reason == "completed":
        told = _("all steps of {name} are finished").format(name=name)
        raise RunError(told, _("make one anew: finetui pipeline {name} --restart STEP").format(name=name))


def refuse_answered(run: RunDirectory) -> None:
    """Raises:
    RunError: the evaluation is finished; nothing is left to do.
    """
    last = read_marks(run).last
    if isinstance(last, RunFinished) and last.reason == "completed":
        name = inert_line(run.name)
        told = _("the evaluation {name} is finished").format(name=name)
        raise RunError(told, _("see it: finetui report {name}").format(name=name))


def _refuse_complete(run: RunDirectory, checkpoint: Path) -> None:
    """A finished run stays one: loading everything to find that no step is left could only harm its last word."""
    last = read_marks(run).last
    if isinstance(last, RunFinished) and last.reason == "completed" and checkpoint == run.checkpoint(last.step):
        name = inert_line(run.name)
        raise RunError(
            _("the run {name} is finished: all {steps} steps are done").format(name=name, steps=last.step),
            _("train its adapter further in a new run: --adapter_name_or_path {name}").format(name=name),
        )


def without_resume(command: Sequence[str]) -> tuple[str, ...]:
    """A command as it was before a resume said from where."""
    return tuple(command[: command.index(_RESUME)] if _RESUME in command else command)


def where_it_lies_now(run: RunDirectory, launch: Launch) -> Launch:
    """How a run is started after its folder was moved or copied, alone or with its workspace.

    The old place may still hold the run that this one is a copy of: nothing may be written there.
    """
    words = without_resume(launch.command)
    old, new = Path(words[-1]), run.path
    if not old.is_absolute() or old.resolve() == new.resolve():
        return launch
    while old.name == new.name and old != old.parent and new != new.parent:
        old, new = old.parent, new.parent

    def moved(text: str) -> str:
        return str(new / Path(text).relative_to(old)) if text and Path(text).is_relative_to(old) else text

    came_along = launch.workspace and Path(launch.workspace).is_relative_to(old)
    return dataclasses.replace(
        launch,
        command=(*words[:-1], str(run.path)),
        directory=moved(launch.directory) if came_along else launch.directory,
        workspace=moved(launch.workspace),
        environment={name: moved(value) for name, value in launch.environment.items()},
    )


def find_checkpoint(run: RunDirectory, name: str | None = None) -> Path:
    """A checkpoint of a run, by its folder name or step; the newest one when none is named.

    Raises:
        RunError: there is none.
    """
    saved = run.saved_checkpoints()
    known = ", ".join(path.name for path in saved[-8:])
    if not saved:
        told = _("the run {name} has no checkpoint").format(name=inert_line(run.name))
        config = inert_line(str(run.config))
        raise RunError(told, _("start it anew: finetui train {config} --overwrite_output_dir").format(config=config))
    if name in (None, "", "true"):
        # The one written last: after a resume from an earlier one, later steps may be of a future that did not come.
        return max(saved, key=lambda path: (path.stat().st_mtime, path.name))
    wanted = Path(str(name)).name
    for path in saved:
        if wanted in (path.name, path.name.partition("-")[2], path.name.partition("-")[2].lstrip("0")):
            return path
    told = _("the run {name} has no checkpoint {wanted}").format(name=inert_line(run.name), wanted=inert_line(wanted))
    raise RunError(told, _("there are: {names}").format(names=known))


def remove(run: RunDirectory, workspace: Workspace) -> None:
    """Delete a run with all that it wrote.

    Raises:
        RunError: it is still going on, or the folder holds what no run writes.
    """
    refuse_active(run)
    clear_folder(run, workspace)
    run.path.rmdir()
    strike_run(run, workspace)
