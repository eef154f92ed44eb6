"""Who is asked beside what a run trained: the base, and the adapter that it went on from.

Of a policy that is the comparison that counts: base, supervised model, policy. Names are those that the chat and
evaluations take. Looked up on the disk, so asked in a thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.i18n import _
from core.models.adapters import is_adapter_folder
from core.models.catalog import resolve_model
from core.models.info import is_model_folder
from core.runs.history import History
from core.runs.options import run_options
from core.runs.quantities import TrainingStage
from core.runs.rundir import RunDirectory
from core.workspace import Workspace
from tui.curve_plots import told_at


@dataclass(frozen=True, slots=True)
class Subjects:
    """What a run's weights are compared with."""

    base: str
    start: str
    """The adapter that the training went on from; empty where there was none, or it is gone."""
    trained: str
    """The weights that are meant: an adapter's name, or the folder of a whole model."""
    is_adapter: bool
    reward_model: str = ""
    """What scored the answers."""

    @property
    def speakers(self) -> list[tuple[str, str | None]]:
        """(model, adapter) of each, for the columns of a chat."""
        start = [(self.base, self.start)] if self.start and self.is_adapter else []
        trained = (self.base, self.trained) if self.is_adapter else (self.trained, None)
        return [(self.base, None), *start, trained]

    @property
    def evaluated(self) -> dict[str, str]:
        """Options of an evaluation of all of them."""
        reward = {"reward_model": self.reward_model} if self.reward_model else {}
        if not self.is_adapter:
            return {"model_name_or_path": self.trained, **reward}
        named = ",".join(filter(None, (self.start, self.trained)))
        return {"model_name_or_path": self.base, "adapter_name_or_path": named, "include_base": "true", **reward}


def subjects_of(run: RunDirectory, model: str, folder: Path, workspace: Workspace) -> Subjects:
    """Look up whom a run's weights are compared with.

    Args:
        model: the base, as the run names it.
        folder: of the weights that are meant: the run's, or a checkpoint's.

    Raises:
        ModelNotFound: the base is not here any more.
    """
    options, adapter = run_options(run), is_adapter_folder(folder)
    starts = [Path(name) for name in options.get("adapter_name_or_path", "").split(",") if name]
    start = starts[-1] if starts and is_adapter_folder(_placed(starts[-1], workspace)) else None
    return Subjects(
        base=resolve_model(model, workspace).name,
        start=short_name(_placed(start, workspace), workspace) if start is not None else "",
        trained=short_name(folder, workspace) if adapter else str(folder),
        is_adapter=adapter,
        reward_model=_reward_name(options, workspace),
    )


def _placed(name: Path, workspace: Workspace) -> Path:
    """A run by its name, or a folder."""
    return name if name.is_absolute() else workspace.runs / name


def _reward_name(options: Mapping[str, str], workspace: Workspace) -> str:
    name = options.get("reward_model", "")
    return short_name(Path(name), workspace) if Path(name).is_absolute() else name


def short_name(folder: Path, workspace: Workspace) -> str:
    """What an adapter of a run is called: `zh-lora`, `zh-lora/step-000200`; elsewhere its folder."""
    if folder.parent == workspace.runs:
        return folder.name
    if folder.parent.parent.parent == workspace.runs:
        return f"{folder.parent.parent.name}/{folder.name}"
    return str(folder)


def saved_folders(run: RunDirectory, history: History | None, stage: TrainingStage) -> Sequence[tuple[str, Path]]:
    """The weights of a run that can be used, in words and by their folders: the end, then the newest first."""
    if history is None:
        return []
    told = []
    for saved in reversed(history.checkpoints):
        folder = run.path / saved.path
        if not (is_adapter_folder(folder) or is_model_folder(folder)):
            continue
        name = _("step {n}").format(n=saved.step)
        name = _("the end, {step}").format(step=name) if saved.path == "." else name
        name = _("{name}, the best").format(name=name) if saved.best else name
        told.append((": ".join(filter(None, (name, told_at(history, stage, saved.step)))), folder))
    return sorted(told, key=lambda each: each[1] != run.path)
