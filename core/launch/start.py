"""Starting what was prepared, whatever it is: its folder, `config.yaml`, `launch.json`, a supervisor.

Trainings and evaluations are looked at by modules of their own (`prepare`, `evaluation`); what they have in common once
they can be started is here, and so a pipeline starts its steps as anybody starts a run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from core.config.fields import Section
from core.config.load import Settings
from core.config.save import as_yaml
from core.launch.folder import make_folder
from core.launch.local import launch_run
from core.launch.record import code_files, recorded
from core.runs.launch_file import Caution, Launch, read_launch
from core.runs.rundir import RunDirectory
from core.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRun(ABC):
    """A run that can be started."""

    sections: ClassVar[tuple[type[Section], ...]]
    """Those that its `config.yaml` holds."""

    run: RunDirectory
    workspace: Workspace
    settings: Settings
    """As they will be used: names filled in, what the machine cannot do replaced."""
    device: str
    """Empty where a server answers."""
    devices: tuple[str, ...]
    cautions: tuple[Caution, ...]
    """What the user should hear before it starts; the run keeps it too."""
    goes_on: bool = False
    """Whether it goes on with what an earlier run in this folder has done."""

    @property
    def config(self) -> str:
        """What `config.yaml` will say."""
        return as_yaml(self.settings, *self.sections)

    @property
    def values(self) -> dict[str, Any]:
        """Every option by its name."""
        return self.settings.values()

    @abstractmethod
    def described(self) -> Launch:
        """What only its kind knows of how it is started: the command, who is trained or asked, the data's files."""


def start(
    prepared: PreparedRun, *, pipeline: str = "", step: str = "", options: Mapping[str, str] | None = None
) -> RunDirectory:
    """Make the run's folder, write its files and start it. Returns within a tenth of a second, the run goes on alone.

    Args:
        pipeline: the one that starts it as one of its steps, by name.
        options: of the step, as the pipeline's file has them.

    Raises:
        RunError: the folder was taken meanwhile, cannot be written, or the supervisor did not come to life.
    """
    run, workspace = prepared.run, prepared.workspace
    launch = replace(launch_of(prepared), pipeline=pipeline, pipeline_step=step, pipeline_options=options or {})
    if not prepared.goes_on:
        make_folder(run, workspace, overwrite=prepared.values["overwrite_output_dir"])
    launch_run(run, prepared.config, launch, workspace)
    return run


def launch_of(prepared: PreparedRun) -> Launch:
    """What `launch.json` will say."""
    launch = replace(
        prepared.described(),
        segment=1 + (read_launch(prepared.run).segment if prepared.goes_on else 0),
        devices=prepared.devices,
        seed=prepared.values["seed"],
        code=code_files(prepared.values),
        cautions=prepared.cautions,
    )
    return recorded(launch, prepared.workspace)
