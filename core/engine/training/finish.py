"""The end of a training: the model into the run's folder, results, pictures, the last word."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from core.engine.training.factory_files import evaluation_row, train_metrics
from core.engine.training.loop import Ending, Loop
from core.engine.training.plots import write_plots
from core.engine.training.work import Work
from core.i18n import _
from core.runs.events import RunFinished
from core.runs.told import metrics_block


def finish(loop: Loop, ending: Ending) -> None:
    """Write all that stays. Every process calls it.

    Raises:
        NotWritten: the disk takes no more; the checkpoints stay.
    """
    work, shelf = loop.work, loop.shelf
    work.journal.stage("saving")
    shelf.save_final(ending.progress, ending.is_best)
    with _model_is_saved(work):
        loop.leave_results(ending.reason)
    if not work.processes.is_main:
        return
    work.journal.stage("ending")
    progress, files = ending.progress, work.journal.files
    flos = 6.0 * progress.tokens * work.tunable.parameters
    epoch = work.updates.epoch_after(progress.step)
    told = {f"train_{name}": value for name, value in loop.results().items()}
    train = {**train_metrics(progress, epoch, len(work.rows), flos), **told}
    evaluation = evaluation_row(files.history, progress.standing.best_step if ending.is_best else None)
    metrics = {name: float(value) for name, value in {**evaluation, **train}.items()}
    files.history.append({**train, "step": progress.step})
    files.settings["total_flos"] = flos
    with _model_is_saved(work):
        files.write_results(train, evaluation)
        work.tunable.write_card(work.run.path, metrics)
        files.write_state(work.run.path, progress, shelf.best_folder(progress))
    work.journal.say(metrics_block("train", train))
    if evaluation:
        work.journal.say(metrics_block("eval", evaluation))
    if work.output.plot_loss:
        with _model_is_saved(work):
            for path in write_plots(work.run.path, work.stage, files.history):
                work.journal.say(_("picture saved: {path}").format(path=path))
    work.journal.tell(RunFinished(time.time(), ending.reason, progress.step, metrics), durable=True)


@contextmanager
def _model_is_saved(work: Work) -> Iterator[None]:
    """What is told of a training fails none whose model lies there."""
    try:
        yield
    except OSError as error:
        message = _("not all results can be written: {error}").format(error=error)
        work.journal.warn(message, _("the model is saved, and the events have every number"))
