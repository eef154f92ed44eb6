"""Pipelines across processes: steps are started, waited for, gone on with. Trainer and evaluator are fakes, all else is
real."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import fake_evaluator
import fake_trainer
from begun_runs import end_runs, events
from core.config.pipeline import Pipeline
from core.config.pipeline_file import read_pipeline
from core.errors import ConfigError, RunError
from core.launch.local import resume
from core.launch.machine import Machine
from core.launch.pipeline.plan import PipelinePlan, plan_pipeline
from core.launch.pipeline.stand_ins import make_stand_in
from core.launch.pipeline.start import start_pipeline
from core.launch.stopping import kill, stop, wait_ended
from core.models.candidates import resolve_candidate
from core.models.info import AdapterInfo, ModelInfo
from core.models.reward_source import find_reward_source
from core.runs.catalog import list_runs
from core.runs.events import RunFailed, RunFinished, RunStarted, StepMoved, Warned
from core.runs.history import read_history
from core.runs.launch_file import QueuedRun, read_launch
from core.runs.rundir import RunDirectory
from core.runs.state import is_active, read_marks, state_of
from core.runs.summary import summarise
from core.workspace import Workspace
from folders import make_adapter, make_data, make_model
from waiting import PATIENCE, until

FILE = """\
name: tales
model_name_or_path: demo
dataset: intro
steps:
  one:
    lora_rank: 4
  two:
    adapter_name_or_path: ${one}
  three:
    does: eval
    adapter_name_or_path: ${one},${two@3}
    include_base: true
"""
BARE = Machine(0)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    found = Workspace(tmp_path / "ws")
    make_model(found.models / "demo")
    make_data(found.data)
    monkeypatch.setenv("FAKE_WEIGHTS", str(make_adapter(tmp_path / "weights", "demo")))
    monkeypatch.setenv("FINETUI_TRAINER_COMMAND", json.dumps(fake_trainer.COMMAND))
    monkeypatch.setenv("FINETUI_EVALUATOR_COMMAND", json.dumps(fake_evaluator.COMMAND))
    monkeypatch.chdir(tmp_path)
    yield found
    end_runs(list_runs(found))


def planned(workspace: Workspace, text: str = FILE, restart: tuple[str, ...] = ()) -> PipelinePlan:
    return plan_pipeline(read(text), workspace, restart=restart, machine=BARE)


def read(text: str = FILE) -> Pipeline:
    Path("tales.yaml").write_text(text)
    return read_pipeline(Path("tales.yaml"))


def told(workspace: Workspace, text: str, restart: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        planned(workspace, text, restart)
    return [str(problem) for problem in caught.value.problems]


def made(workspace: Workspace, text: str = FILE, restart: tuple[str, ...] = ()) -> RunDirectory:
    """Start it, or go on, and wait for its end."""
    run = start_pipeline(planned(workspace, text, restart))
    assert not is_active(wait_ended(run, PATIENCE))
    return run


def moves(run: RunDirectory) -> list[str]:
    """What its last segment did."""
    found = events(run)
    begin = max(at for at, event in enumerate(found) if isinstance(event, RunStarted))
    return [f"{event.move} {event.step}" for event in found[begin:] if isinstance(event, StepMoved)]


def starts(workspace: Workspace, step: str) -> int:
    """How often a step's run was started."""
    return sum(isinstance(event, RunStarted) for event in events(RunDirectory(workspace.runs / f"tales-{step}")))


def states(workspace: Workspace) -> dict[str, str]:
    return {run.name: state_of(run) for run in list_runs(workspace)}


# --- before anything starts -------------------------------------------------------------------------------------


def test_every_step_is_looked_at_with_what_earlier_ones_will_have_made(workspace: Workspace) -> None:
    plan = planned(workspace)
    assert [(step.what, step.standing.run.name) for step in plan.steps] == [
        ("begin", "tales-one"),
        ("begin", "tales-two"),
        ("begin", "tales-three"),
    ]
    assert (plan.exists, plan.active, plan.done) == (False, False, False)
    assert [caution.message for caution in plan.steps[2].cautions] == ["${two@3}: two saves every 500 steps"]
    assert not workspace.runs.exists()


def test_a_mistake_of_the_last_step_is_told_before_the_first_starts(workspace: Workspace) -> None:
    text = FILE.replace("    include_base: true", "    dataset: intr").replace("lora_rank: 4", "quantization_bit: 4")
    assert told(workspace, text) == [
        "tales.yaml:6: one.quantization_bit: needs the package bitsandbytes"
        " (install it with: pip install 'finetui[quant]')",
        "tales.yaml:12: three.dataset: ws/data/dataset_info.json has no data set 'intr' (did you mean 'intro'?)",
    ]
    first = FILE.replace("lora_rank: 4", "finetuning_type: p_tuning").replace("${two@3}", "${two@3},nobody")
    assert told(workspace, first)[-1].startswith("tales.yaml:11: three.adapter_name_or_path: no adapter nobody")
    assert not workspace.runs.exists()


def test_a_step_s_folder_lies_in_no_other_step_s(workspace: Workspace) -> None:
    file = FILE.replace("lora_rank: 4", "output_dir: saves/outer/inner")
    file = file.replace("  three:", "  three:\n    output_dir: saves/outer")
    assert any("lie one in the other" in problem for problem in told(workspace, file))


def test_folders_that_hold_something_else_are_refused(workspace: Workspace) -> None:
    (workspace.runs / "tales-two").mkdir(parents=True)
    (workspace.runs / "tales-two" / "mine.txt").touch()
    (workspace.runs / "tales").mkdir()
    (workspace.runs / "tales" / "mine.txt").touch()
    assert told(workspace, FILE.replace("lora_rank: 4", "output_dir: tales-three")) == [
        f"name: {workspace.runs / 'tales'} is there already, and is no pipeline (give the pipeline another name)",
        f"tales.yaml:7: two: {workspace.runs / 'tales-two'} is there already, and is not of this pipeline"
        " (give the pipeline another name, or the step another output_dir)",
        f"tales.yaml:9: three: its folder is that of one too: {workspace.runs / 'tales-three'}"
        " (give it another output_dir)",
    ]


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ("finetuning_type: lora", "lora"),
        ("use_dora: true", "dora"),
        ("finetuning_type: p_tuning", "p_tuning"),
        ("finetuning_type: full", ""),
    ],
)
def test_what_stands_in_for_a_step_is_taken_for_what_it_makes(workspace: Workspace, options: str, kind: str) -> None:
    (step,) = read(f"model_name_or_path: demo\nsteps:\n  a:\n    {options}\n").steps
    make_stand_in(step.settings, workspace.root / "stands", workspace)
    found = resolve_candidate(str(workspace.root / "stands"), workspace)
    assert found.problems == ()
    assert isinstance(found, AdapterInfo if kind else ModelInfo)
    assert not isinstance(found, AdapterInfo) or (found.method, found.base_model) == (
        kind,
        str(workspace.models / "demo"),
    )


def test_what_stands_in_for_a_reward_model_scores(workspace: Workspace) -> None:
    (step,) = read("model_name_or_path: demo\nsteps:\n  a:\n    stage: rm\n").steps
    make_stand_in(step.settings, workspace.root / "stands", workspace)
    assert find_reward_source(str(workspace.root / "stands"), "auto", workspace).kind == "lora"


# --- from beginning to end --------------------------------------------------------------------------------------


def test_steps_are_made_one_after_another_and_kept(workspace: Workspace) -> None:
    plan = planned(workspace)
    run = start_pipeline(plan)
    with pytest.raises(RunError, match="the pipeline tales was started by somebody else just now"):
        start_pipeline(plan)
    assert wait_ended(run, PATIENCE) == "finished"
    assert moves(run) == [f"{move} {step}" for step in ("one", "two", "three") for move in ("started", "finished")]
    last = events(run)[-1]
    assert isinstance(last, RunFinished)
    assert (last.reason, last.step) == ("completed", 3)
    assert states(workspace) == dict.fromkeys(("tales", "tales-one", "tales-two", "tales-three"), "finished")
    one, two, three = (RunDirectory(workspace.runs / f"tales-{name}") for name in ("one", "two", "three"))
    assert [(read_launch(each).pipeline, read_launch(each).pipeline_step) for each in (one, two, three)] == [
        ("tales", "one"),
        ("tales", "two"),
        ("tales", "three"),
    ]
    assert f'adapter_name_or_path: ["{one.path}"]  # ' in two.config.read_text()
    assert read_launch(three).subjects == ("demo", "tales-one", "tales-two@3")
    assert read_pipeline(run.config).steps[1].values == read().steps[1].values

    assert planned(workspace).done
    with pytest.raises(RunError, match="all steps of tales are finished"):
        resume(run)


def test_a_step_that_fails_ends_it_and_is_gone_on_with(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_END_tales-two", "fail")
    run = made(workspace)
    last = events(run)[-1]
    assert isinstance(last, RunFailed)
    assert last.error == "two failed: the loss is no number"
    assert last.hint == "lower the learning_rate; then go on: finetui pipeline tales"
    assert last.log == "loss: nan"
    assert "tales-three" not in states(workspace)

    monkeypatch.setenv("FAKE_END_tales-two", "kill")
    assert [step.what for step in planned(workspace).steps] == ["keep", "go_on", "begin"]
    resume(run)  # `finetui runs resume tales` is the same
    assert wait_ended(run, PATIENCE) == "failed"
    assert moves(run) == ["kept one", "resumed two"]
    assert str(events(run)[-1]).count("two failed: killed by signal 9: most likely out of memory") == 1

    monkeypatch.delenv("FAKE_END_tales-two")
    assert moves(made(workspace)) == ["kept one", "resumed two", "finished two", "started three", "finished three"]
    assert (starts(workspace, "one"), starts(workspace, "two"), starts(workspace, "three")) == (1, 3, 1)
    assert read_launch(RunDirectory(workspace.runs / "tales-two")).resumed_from == "step-000003"


def test_a_stop_reaches_the_step_and_a_stopped_step_stops_the_pipeline(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_END_tales-one", "wait")
    run = start_pipeline(planned(workspace))
    one = RunDirectory(workspace.runs / "tales-one")
    until(lambda: one.saved_checkpoints())
    stop(run)
    assert wait_ended(run, PATIENCE) == "stopped"
    assert state_of(one) == "stopped"
    assert list(run.wishes()) == []

    start_pipeline(planned(workspace))
    until(lambda: is_active(state_of(one)))
    stop(one)
    assert wait_ended(run, PATIENCE) == "stopped"
    assert [event.message for event in events(run) if isinstance(event, Warned)] == ["the run of one was stopped"]
    assert moves(run) == ["resumed one"]


def test_a_pipeline_that_is_killed_leaves_its_step_alone_and_joins_it_later(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_END_tales-one", "wait")
    run, one = start_pipeline(planned(workspace)), RunDirectory(workspace.runs / "tales-one")
    until(lambda: one.saved_checkpoints())
    started = read_marks(run).started
    assert started is not None
    assert started.kind == "pipeline"
    os.kill(started.pid, signal.SIGKILL)
    until(lambda: state_of(run) == "lost")
    assert state_of(one) == "running"
    plan = planned(workspace)
    assert ([step.what for step in plan.steps], plan.active) == (["join", "begin", "begin"], False)
    start_pipeline(plan)
    until(lambda: moves(run) == ["joined one"])
    assert planned(workspace).active
    with pytest.raises(RunError, match="still going on"):
        start_pipeline(plan)
    kill(run)
    assert wait_ended(run, PATIENCE) == "stopped"
    assert (state_of(one), starts(workspace, "one")) == ("stopped", 1)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found there")
def test_a_step_that_is_still_ending_is_waited_for_and_gone_on_with(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = FILE.partition("  two:")[0]
    monkeypatch.setenv("FAKE_END_tales-one", "wait")
    run, one = start_pipeline(planned(workspace, text)), RunDirectory(workspace.runs / "tales-one")
    until(one.saved_checkpoints)
    conductor, supervisor = read_marks(run).started, read_marks(one).started
    assert conductor is not None
    assert supervisor is not None
    os.kill(conductor.pid, signal.SIGKILL)
    until(lambda: state_of(run) == "lost")
    (trainer,) = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()
    os.kill(int(trainer), signal.SIGSTOP)  # it takes long to save
    one.wish("stop")
    monkeypatch.delenv("FAKE_END_tales-one")
    start_pipeline(planned(workspace, text))
    until(lambda: moves(run) == ["joined one"])
    os.kill(int(trainer), signal.SIGCONT)
    assert wait_ended(run, PATIENCE) == "finished"
    assert moves(run) == ["joined one", "resumed one", "finished one"]


def test_a_step_whose_supervisor_is_killed_is_told_and_gone_on_with(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = FILE.partition("  two:")[0]
    monkeypatch.setenv("FAKE_END_tales-one", "wait")
    run, one = start_pipeline(planned(workspace, text)), RunDirectory(workspace.runs / "tales-one")
    until(lambda: one.saved_checkpoints())
    started = read_marks(one).started
    assert started is not None
    os.kill(started.pid, signal.SIGKILL)
    assert wait_ended(run, PATIENCE) == "failed"
    last = events(run)[-1]
    assert isinstance(last, RunFailed)
    assert last.error == "one failed: its supervisor is gone and said no last word"
    monkeypatch.delenv("FAKE_END_tales-one")
    assert moves(made(workspace, text)) == ["resumed one", "finished one"]


def test_what_a_killed_start_left_is_begun_anew(workspace: Workspace) -> None:
    (workspace.runs / "tales-one").mkdir(parents=True)
    (workspace.runs / "tales-one" / "config.yaml").write_text("half: a fi")
    run = made(workspace, FILE.partition("  two:")[0])
    assert moves(run) == ["started one", "finished one"]
    # And a run whose supervisor never said a word.
    one = RunDirectory(workspace.runs / "tales-one")
    for path in (one.events, *one.saved_checkpoints()):
        path.unlink() if path.is_file() else path.rename(workspace.root / path.name)
    assert moves(made(workspace, FILE.partition("  two:")[0])) == ["started one", "finished one"]
    assert starts(workspace, "one") == 1


# --- changes ----------------------------------------------------------------------------------------------------


def test_options_that_changed_are_refused_and_steps_made_anew_when_asked(workspace: Workspace) -> None:
    made(workspace)
    changed = FILE.replace("lora_rank: 4", "lora_rank: 8").replace("include_base: true", "max_samples: 1")
    assert told(workspace, changed) == [
        "tales.yaml:6: one.lora_rank: was 4 when one was made"
        " (put it back, or make one, two, three anew: --restart one)",
        "tales.yaml:9: three.include_base: was true when three was made (put it back, or make three anew:"
        " --restart three)",
        "tales.yaml:12: three.max_samples: was not given when three was made"
        " (put it back, or make three anew: --restart three)",
    ]
    with pytest.raises(ConfigError, match="there is no step 'tree'"):
        planned(workspace, restart=("tree",))
    plan = planned(workspace, FILE.replace("include_base: true", "max_samples: 1"), ("three",))
    assert [step.what for step in plan.steps] == ["keep", "keep", "restart"]

    run = made(workspace, changed, ("one",))
    assert moves(run)[:2] == ["started one", "finished one"]
    assert (starts(workspace, "one"), starts(workspace, "three"), len(moves(run))) == (1, 1, 6)
    assert read_pipeline(run.config).steps[0].values["lora_rank"] == 8
    assert planned(workspace, changed).done


def test_a_step_that_stands_on_a_run_that_is_gone_is_refused(workspace: Workspace) -> None:
    text = FILE.partition("  three:")[0]
    made(workspace, text)
    (workspace.runs / "tales-one").rename(workspace.root / "away")
    assert told(workspace, text) == [
        "tales.yaml:7: two: stands on one, whose run is gone (make both anew: --restart one)"
    ]
    assert moves(made(workspace, text, ("one",))) == ["started one", "finished one", "started two", "finished two"]


def test_new_steps_join_a_finished_pipeline(workspace: Workspace) -> None:
    made(workspace, FILE.partition("  two:")[0])
    data = workspace.data / "intro.jsonl"
    data.write_text(data.read_text() * 2)
    run = start_pipeline(plan_pipeline(read(), workspace, keep=("one",), machine=BARE))
    assert wait_ended(run, PATIENCE) == "finished"
    assert moves(run) == [
        *("kept one", "started two", "finished two"),
        *("started three", "finished three"),
    ]
    warned = [event.message for event in events(run) if isinstance(event, Warned)]
    assert warned == [f"one: {data} changed since it was read; the run stays as it is"]


def test_the_run_says_what_makes_it(workspace: Workspace) -> None:
    run = made(workspace, FILE.partition("  two:")[0])
    launch = read_launch(run)
    assert launch.command == ("finetui", "pipeline", str(run.path))
    assert (launch.kind, launch.datasets, launch.devices) == ("pipeline", ("intro",), ())
    assert launch.steps == (QueuedRun("one", str(workspace.runs / "tales-one"), "train", "sft"),)
    summary = summarise(run)
    assert (summary.step, summary.total_steps, summary.steps) == (1, 1, launch.steps)
    assert summarise(RunDirectory(workspace.runs / "tales-one")).pipeline == "tales"
    assert read_history(run).progress == 1.0
    assert launch.directory == str(Path.cwd())
