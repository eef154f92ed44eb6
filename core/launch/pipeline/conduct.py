"""The process of a pipeline: makes one step after another, each as a run of its own, until all are done or one is not.

It is started like a run's supervisor, in its place (`core.launch.supervise`), and is as little: no data, no model. The
steps' runs have their own supervisors; when this process is killed, the step goes on, and whoever goes on with the
pipeline joins it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from core.config.change import replaced
from core.config.pipeline import Pipeline, PipelineStep
from core.config.pipeline_file import read_pipeline
from core.errors import FinetuiError, RunError
from core.i18n import _
from core.jsonl import append_lines
from core.launch.device_lock import is_holder
from core.launch.local import find_checkpoint, remove, resume
from core.launch.pipeline.ahead import prepare_step
from core.launch.pipeline.changes import changed_files, file_caution
from core.launch.pipeline.standing import StepStanding, is_blank, outputs_in_place, standing_of
from core.launch.start import start
from core.launch.stopping import kill, stop, terminate
from core.launch.supervision import wait, wakened_by_signals
from core.records import to_record
from core.runs.events import Event, Move, RunFailed, RunFinished, StepMoved, Warned
from core.runs.launch_file import Launch, read_launch
from core.runs.rundir import RunDirectory
from core.runs.state import is_active, read_marks, state_of, wait_gone
from core.untrusted import inert_line
from core.workspace import Workspace


def conduct(run: RunDirectory) -> int:
    """See a pipeline through; returns 0 when all steps are done or it was stopped, 1 when one failed."""
    return _Conductor(run, read_launch(run)).conduct()


class _Ended(Exception):
    """A step is not done, and the pipeline's last word is said."""


class _Conductor:
    def __init__(self, run: RunDirectory, launch: Launch) -> None:
        self._run, self._launch = run, launch
        self._workspace = Workspace(Path(launch.workspace))
        self._asked: set[int] = set()
        """The signals that came."""
        self._passed_on: set[Callable[[RunDirectory], None]] = set()
        """The ways of ending that the step was told of."""
        self._done = 0
        self._failed = False

    def conduct(self) -> int:
        with wakened_by_signals(self._asked) as wakeup:
            try:
                self._make_all(wakeup)
            except _Ended:
                pass
            except FinetuiError as error:
                self._fail(error.message, self._then_go_on(error.hint))
            except OSError as error:
                told = _("its folder cannot be written: {reason}")
                self._fail(told.format(reason=error.strerror or str(error)), self._then_go_on())
            except Exception as error:
                traceback.print_exc()
                self._fail(_("the pipeline ended by a defect: {error}").format(error=repr(error)))
            with contextlib.suppress(OSError):
                self._run.granted("stop")
        return 1 if self._failed else 0

    def _make_all(self, wakeup: int) -> None:
        with contextlib.suppress(OSError):
            os.chdir(self._launch.directory)  # names of files are meant as from there
        pipeline = read_pipeline(self._run.config)
        for step in pipeline.steps:
            self._stop_here_if_asked()
            standing = standing_of(pipeline, step, self._workspace)
            if standing.done:
                self._done += 1
                self._say_moved(standing, "kept", pipeline)
                self._say_what_changed(standing)
                continue
            self._see_through(pipeline, standing, wakeup)
            self._done += 1
            self._say_moved(standing, "finished", pipeline)
        self._say(RunFinished(time.time(), "completed", self._done))

    def _see_through(self, pipeline: Pipeline, standing: StepStanding, wakeup: int) -> None:
        """Make a step, or go on with it. What was asked to end before we came ends first, and is then gone on with.

        Raises:
            _Ended: the step is not done.
        """
        was_ending = "stop" in standing.run.wishes()
        move = self._begin(pipeline, standing)
        self._say_moved(standing, move, pipeline)
        if move != "started":
            self._say_what_changed(standing)
        self._wait_for(standing.run, wakeup)
        if move == "joined" and was_ending and state_of(standing.run) == "stopped" and not self._is_asked():
            self._see_through(pipeline, standing_of(pipeline, standing.step, self._workspace), wakeup)
            return
        self._look_at_end(standing.step, standing.run)

    # --- beginning ----------------------------------------------------------------------------------------------

    def _begin(self, pipeline: Pipeline, standing: StepStanding) -> Move:
        run, step = standing.run, standing.step
        if standing.state is not None:
            if is_active(standing.state):
                return "joined"
            self._wait_until_gone(run)
            if step.verb == "eval" or _has_checkpoint(run):
                resume(run)
                return "resumed"
            remove(run, self._workspace)
        elif run.path.exists() and is_blank(run):
            run.config.unlink(missing_ok=True)  # a start that was killed
        self._start(pipeline, step, run)
        return "started"

    def _start(self, pipeline: Pipeline, step: PipelineStep, run: RunDirectory) -> None:
        settings = replaced(outputs_in_place(pipeline, step, self._workspace), {"output_dir": (str(run.path), "")})
        prepared = prepare_step(step, settings, self._workspace)
        start(prepared, pipeline=pipeline.name, step=step.name, options=step.given)

    # --- waiting ------------------------------------------------------------------------------------------------

    def _wait_until_gone(self, run: RunDirectory) -> None:
        """What has ended may still write: pictures after its last word, or a checkpoint, where its supervisor was
        killed and it was told to end by the system.

        Raises:
            _Ended: the pipeline was asked to end meanwhile.
        """
        told = False
        while not wait_gone(run, 1.0) or is_holder(str(run.path)):
            self._stop_here_if_asked()
            if not told:
                told = True
                what = _("{run} has not quite ended yet; it is waited for").format(run=inert_line(run.name))
                self._say(Warned(time.time(), what))
            time.sleep(0.1)

    def _wait_for(self, run: RunDirectory, wakeup: int) -> None:
        while is_active(state_of(run)):
            wait(wakeup)
            self._pass_on(run)
        wait_gone(run)

    def _pass_on(self, run: RunDirectory) -> None:
        """What was asked of the pipeline is asked of its step, once."""
        ways: list[Callable[[RunDirectory], None]] = []
        if "stop" in self._run.wishes():
            ways.append(stop)
        if signal.SIGTERM in self._asked:
            ways.append(terminate)
        if signal.SIGQUIT in self._asked:
            ways.append(kill)
        for way in ways:
            if way not in self._passed_on:
                self._passed_on.add(way)
                self._show_that_it_ends()
                with contextlib.suppress(RunError):  # it has ended by itself
                    way(run)

    def _show_that_it_ends(self) -> None:
        """Who comes now and wants it to go on has to know that it will not."""
        with contextlib.suppress(OSError):
            self._run.wish("stop")

    def _is_asked(self) -> bool:
        return bool(self._asked) or "stop" in self._run.wishes()

    def _stop_here_if_asked(self) -> None:
        if self._is_asked():
            self._say(RunFinished(time.time(), "stopped", self._done))
            raise _Ended

    # --- ends ---------------------------------------------------------------------------------------------------

    def _look_at_end(self, step: PipelineStep, run: RunDirectory) -> None:
        """Raises:
        _Ended: the step is not done.
        """
        state, last = state_of(run), read_marks(run).last
        if state == "finished":
            return
        if state == "stopped":
            if not self._passed_on:
                self._say(Warned(time.time(), _("the run of {step} was stopped").format(step=step.name)))
            self._say(RunFinished(time.time(), "stopped", self._done))
            raise _Ended
        reason, hint, log = _("its supervisor is gone and said no last word"), "", ""
        if isinstance(last, RunFailed):
            reason, hint, log = last.error, last.hint, last.log
        told = _("{step} failed: {reason}").format(step=step.name, reason=reason)
        self._fail(told, self._then_go_on(hint), log)
        raise _Ended

    def _then_go_on(self, hint: str = "") -> str:
        again = _("then go on: finetui pipeline {name}").format(name=inert_line(self._run.name))
        return "; ".join(filter(None, (hint, again)))

    def _fail(self, error: str, hint: str = "", log: str = "") -> None:
        self._failed = True
        self._say(RunFailed(time.time(), error, hint, log))

    def _say_what_changed(self, standing: StepStanding) -> None:
        for found in changed_files(standing.step, standing.run, self._workspace):
            self._say(Warned(time.time(), f"{standing.step.name}: {file_caution(found).message}"))

    def _say_moved(self, standing: StepStanding, move: Move, pipeline: Pipeline) -> None:
        path = str(standing.run.path)
        self._say(StepMoved(time.time(), standing.step.name, path, move, self._done, len(pipeline.steps)))

    def _say(self, event: Event) -> None:
        append_lines(self._run.events, to_record(event), mode=0o644)


def _has_checkpoint(run: RunDirectory) -> bool:
    with contextlib.suppress(RunError):
        return find_checkpoint(run).is_dir()
    return False
