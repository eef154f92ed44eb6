"""Evaluates what a run's folder describes: `python -P -m core.engine.evaluate RUN_DIR [--resume]`.

A supervisor starts it and reads nothing but the folder. Its last event tells how it ended, as that of a training does.
Answers that stand in the folder are kept and not asked for again, with `--resume` and without: a new evaluation begins
in an empty folder.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from core.config.evaluation import EVALUATION
from core.config.load import Settings, load
from core.config.remote import RemoteOptions
from core.engine.control import Control, StoppedEarly
from core.engine.diary import Diary
from core.engine.evaluating.conduct import Conduct, Contender, Ended
from core.engine.evaluating.served import ServedAnswerer
from core.engine.evaluating.test_set import compares, open_test_sets
from core.engine.failure import tell_failure
from core.engine.training.heap import keep_freed_memory
from core.i18n import _
from core.models.candidates import Candidate, find_candidates
from core.runs.events import Reason, RunFinished
from core.runs.rundir import RunDirectory
from core.workspace import Workspace, find_workspace


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate; returns the exit code: 0 ended as it should, 1 failed."""
    parser = argparse.ArgumentParser(prog="core.engine.evaluate")
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", nargs="?", const="", default="", help="go on, which it does in any case")
    run = RunDirectory(parser.parse_args(arguments).run.absolute())
    control = Control(run)
    control.listen()
    return evaluate(run, Diary(run), control)


def evaluate(run: RunDirectory, diary: Diary, control: Control) -> int:
    """Evaluate, and tell how it ended."""
    try:
        ended = _evaluate(run, diary, control)
        reason: Reason = "completed" if ended.is_whole else "stopped"
    except StoppedEarly:
        control.granted(control.look())
        diary.tell(RunFinished(time.time(), "stopped", 0), durable=True)
        return 0
    except Exception as error:
        less_memory = _("take a smaller per_device_eval_batch_size or max_new_tokens, or quantization_bit 4")
        kept = _("make room and go on: the answers so far are safe")
        tell_failure(error, diary, less_memory=less_memory, kept=kept)
        return 1
    control.granted(control.look())
    diary.tell(RunFinished(time.time(), reason, ended.done, ended.metrics), durable=True)
    return 0


def _evaluate(run: RunDirectory, diary: Diary, control: Control) -> Ended:
    settings, workspace = load(EVALUATION, file=run.config), find_workspace()
    diary.stage("data")
    tests = open_test_sets(settings, workspace)
    compare = compares(tests)
    if settings[RemoteOptions].api_base:
        contenders = _served(settings, diary)
    else:
        contenders = _loaded(settings, workspace, diary, compare=compare)
    return Conduct(run, settings, workspace, diary, control).go(contenders, tests)


def _loaded(settings: Settings, workspace: Workspace, diary: Diary, *, compare: bool) -> list[Contender]:
    """Models of this machine.

    Args:
        compare: whether they are asked which of two answers is better.
    """
    candidates = find_candidates(settings.values(), workspace)
    diary.stage("loading")
    from core.engine.evaluating.judges import LoadedJudges  # torch: 3 s, when the data is known to be right
    from core.engine.evaluating.weights import LoadedModels

    keep_freed_memory()
    if compare:
        judges = LoadedJudges(settings, workspace, diary)
        return [Contender(one.name, partial(judges.judging, one), one) for one in _by_base(candidates)]
    models = LoadedModels(settings, workspace, diary)
    return [Contender(one.name, partial(models.answering, one), one) for one in _by_base(candidates)]


def _by_base(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that share weights follow one another."""
    bases = list(dict.fromkeys(candidate.model.path for candidate in candidates))
    return sorted(candidates, key=lambda candidate: bases.index(candidate.model.path))


def _served(settings: Settings, diary: Diary) -> list[Contender]:
    """A model that somebody else serves."""
    served = ServedAnswerer.find(settings, diary)
    return [Contender(served.subject.name, lambda: nullcontext(served))]


if __name__ == "__main__":
    sys.exit(main())
