"""The end of a training: the model into the run's folder, results, pictures, the last word."""

from __future__ import annotations

import time

from core.engine.training.factory_files import evaluation_row, train_metrics
from core.engine.training.loop import Ending
from core.engine.training.plots import write_plots
from core.engine.training.shelf import Shelf
from core.engine.training.work import Work
from core.i18n import _
from core.runs.events import RunFinished
from core.runs.told import metrics_block


def finish(work: Work, shelf: Shelf, ending: Ending) -> None:
    """Write all that stays. Every process calls it.

    Raises:
        NotWritten: the disk takes no more; the checkpoints stay.
    """
    work.journal.stage("saving")
    shelf.save_final(ending.progress, ending.is_best)
    if not work.processes.is_main:
        return
    work.journal.stage("ending")
    progress, files = ending.progress, work.journal.files
    flos = 6.0 * progress.tokens * work.tunable.parameters
    epoch = work.updates.epoch_after(progress.step)
    train = train_metrics(progress, epoch, len(work.rows), flos)
    evaluation = evaluation_row(files.history, progress.standing.best_step if ending.is_best else None)
    everything = files.write_results(train, evaluation)
    metrics = {name: float(value) for name, value in everything.items()}
    work.tunable.write_card(work.run.path, metrics)
    files.history.append({**train, "step": progress.step})
    files.settings["total_flos"] = flos
    files.write_state(work.run.path, progress, shelf.best_folder(progress))
    work.journal.say(metrics_block("train", train))
    if evaluation:
        work.journal.say(metrics_block("eval", evaluation))
    if work.output.plot_loss:
        for path in write_plots(work.run.path, files.history):
            work.journal.say(_("picture saved: {path}").format(path=path))
    work.journal.tell(RunFinished(time.time(), ending.reason, progress.step, metrics), durable=True)
