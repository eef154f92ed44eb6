"""What a pipeline finds when it is looked at again: other options, other files, other steps. No process is started:
runs of steps are folders with what their starts would have written."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from core.config.pipeline import Pipeline, as_text
from core.config.pipeline_file import read_pipeline
from core.errors import ConfigError, RunError
from core.launch.device_lock import Ticket, is_holder
from core.launch.local import resume
from core.launch.machine import Machine
from core.launch.pipeline.plan import PipelinePlan, plan_pipeline
from core.launch.pipeline.standing import ending_run
from core.launch.record import data_files
from core.runs.events import RunFinished
from core.runs.launch_file import read_launch, write_launch
from core.runs.rundir import PIPELINE
from core.workspace import Workspace
from folders import make_adapter, make_data, make_model
from scripted_runs import ScriptedRun

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
    adapter_name_or_path: ${one},${two}
"""
OFTEN = FILE.partition("  three:")[0]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    found = Workspace(tmp_path / "ws")
    make_model(found.models / "demo")
    make_data(found.data)
    monkeypatch.chdir(tmp_path)
    return found


def read(text: str = FILE) -> Pipeline:
    Path("tales.yaml").write_text(text)
    return read_pipeline(Path("tales.yaml"))


def planned(
    workspace: Workspace, text: str = FILE, restart: tuple[str, ...] = (), keep: tuple[str, ...] = ()
) -> PipelinePlan:
    return plan_pipeline(read(text), workspace, restart=restart, keep=keep, machine=Machine(0))


def told(workspace: Workspace, text: str = FILE, **asked: tuple[str, ...]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        planned(workspace, text, **asked)
    return [str(problem) for problem in caught.value.problems]


def cautions(plan: PipelinePlan) -> list[str]:
    return [caution.message for step in plan.steps for caution in step.cautions]


def whats(plan: PipelinePlan) -> list[str]:
    return [step.what for step in plan.steps]


def stands(workspace: Workspace, *steps: str, text: str = FILE, active: str = "") -> dict[str, ScriptedRun]:
    """Runs of steps, finished, and of the pipeline itself, which is stopped.

    Args:
        active: what has not ended: a step, or `tales`.
    """
    pipeline, runs = read(text), {}
    for at, name in enumerate(steps):
        step = next(step for step in pipeline.steps if step.name == name)
        run = runs[name] = ScriptedRun(workspace.runs / f"tales-{name}", launched=1000.0 + 100 * at)
        make_adapter(workspace.root / "weights" / name, "demo")
        for file in (workspace.root / "weights" / name).iterdir():
            file.rename(run.run.path / file.name)
        more = {"pipeline": "tales", "pipeline_step": name, "pipeline_options": step.given}
        kind = "train" if step.verb == "train" else "evaluation"
        data = data_files([("intro", workspace.data / "intro.jsonl")])
        write_launch(
            run.run, replace(read_launch(run.run), kind=kind, data=data, workspace=str(workspace.root), **more)
        )
    runs["tales"] = ScriptedRun(workspace.runs / "tales", launched=900.0)
    write_launch(runs["tales"].run, replace(read_launch(runs["tales"].run), kind=PIPELINE))
    runs["tales"].run.config.write_text(as_text(pipeline))
    for name, run in runs.items():
        run.start()
        if name != active:
            run.tell(RunFinished(run.now + 10, "stopped" if name == "tales" else "completed", 3))
    return runs


# --- files ------------------------------------------------------------------------------------------------------


def test_a_file_of_another_time_is_read_and_one_of_other_content_makes_its_steps_stale(workspace: Workspace) -> None:
    stands(workspace, "one", "two")
    assert whats(planned(workspace)) == ["keep", "keep", "begin"]
    data = workspace.data / "intro.jsonl"
    os.utime(data, (5, 5))
    assert whats(planned(workspace)) == ["keep", "keep", "begin"]
    text = data.read_text()
    data.write_text(text.replace("an answer", "answer an"))
    assert told(workspace) == [
        f"tales.yaml:3: dataset: {data} changed since it was read for one, two (make one, two, three anew:"
        " --restart one,two; or take them as they are: --keep one,two)",
    ]
    (only,) = told(workspace, keep=("one",))
    assert "for two (make two, three anew: --restart two;" in only
    assert whats(planned(workspace, restart=("one",))) == ["restart", "restart", "begin"]
    kept = planned(workspace, keep=("one", "two"))
    assert whats(kept) == ["keep", "keep", "begin"]
    assert cautions(kept)[0] == f"{data} changed since it was read; the run stays as it is"
    data.write_text(text)
    assert cautions(planned(workspace)) == []


def test_a_file_that_is_gone_or_new_to_a_set_is_told(workspace: Workspace) -> None:
    stands(workspace, "one", text=OFTEN)
    data = workspace.data / "intro.jsonl"
    other = data.rename(workspace.data / "other.jsonl")
    (workspace.data / "dataset_info.json").write_text('{"intro": {"file_name": "other.jsonl"}}')
    assert told(workspace, OFTEN) == [
        f"tales.yaml:3: dataset: {other} was not read for one, and would be now"
        " (make one, two anew: --restart one; or take them as they are: --keep one)"
    ]
    plan = planned(workspace, OFTEN, keep=("one",))
    assert cautions(plan)[0] == f"{data} is gone; the run stays as it is, and could not be made anew"


def test_a_workspace_that_was_moved_has_the_same_files(workspace: Workspace, tmp_path: Path) -> None:
    stands(workspace, "one", "two")
    workspace.root.rename(tmp_path / "elsewhere")
    plan = planned(Workspace(tmp_path / "elsewhere"))
    assert (whats(plan), cautions(plan)) == (["keep", "keep", "begin"], [])


def test_a_reward_function_that_changed_is_told(workspace: Workspace) -> None:
    rules = Path("rules.py").absolute()
    rules.write_text("def short(questions, answers): return [0.0 for _ in answers]\n")
    text = FILE.partition("steps:")[0] + "steps:\n  one:\n    stage: ppo\n    reward_model: rules.py:short\n"
    runs = stands(workspace, "one", text=text)
    run = runs["one"].run
    write_launch(run, replace(read_launch(run), code=data_files([("reward_model", rules)])))
    assert planned(workspace, text).done
    rules.write_text("def short(questions, answers): return [1.0 for _ in answers]\n")
    assert told(workspace, text) == [
        f"tales.yaml:7: one.reward_model: {rules} changed since it was read for one"
        " (make one anew: --restart one; or take them as they are: --keep one)"
    ]


# --- options and steps ------------------------------------------------------------------------------------------


def test_a_step_that_was_trained_again_makes_those_that_stand_on_it_stale(workspace: Workspace) -> None:
    runs = stands(workspace, "one", "two")
    runs["one"].now = 5000.0
    runs["one"].start(segment=2, resumed_from="step-000002")
    runs["one"].tell(RunFinished(5001.0, "completed", 3))
    assert told(workspace) == [
        "tales.yaml:7: two: was made from one as it was before: one was trained again since"
        " (make two, three anew: --restart two)"
    ]
    assert whats(planned(workspace, restart=("two",))) == ["keep", "restart", "begin"]


def test_a_step_that_was_taken_out_and_put_back_is_known_by_its_run(workspace: Workspace) -> None:
    runs = stands(workspace, "one", "two")
    without = OFTEN.partition("  two:")[0]
    plan = planned(workspace, without)
    assert plan.done
    assert [(one.message, one.hint) for one in plan.left_behind] == [
        (
            "tales-two stays as it is: it was made as the step two, which is not in the file now",
            "delete it: finetui runs rm tales-two",
        )
    ]
    runs["tales"].run.config.write_text(as_text(read(without)))
    assert whats(planned(workspace)) == ["keep", "keep", "begin"]
    changed = FILE.replace("${one}\n  three", "${one}\n    lora_rank: 2\n  three")
    assert told(workspace, changed) == [
        "tales.yaml:9: two.lora_rank: was 8 when two was made (put it back, or make two, three anew: --restart two)"
    ]


def test_a_step_that_was_renamed_begins_anew_and_says_how_to_keep_its_run(workspace: Workspace) -> None:
    stands(workspace, "one", "two", "three")
    plan = planned(workspace, OFTEN.replace("two:", "second:"))
    assert whats(plan) == ["keep", "begin"]
    assert [(one.message, one.hint) for one in plan.left_behind if "anew" in one.message] == [
        (
            "second begins anew; tales-two was made as two with the same options",
            "to keep that, call the step two again, in its folder",
        )
    ]
    assert told(workspace, FILE.replace("two:", "second:").replace("${two}", "${second}")) == [
        'tales.yaml:11: three.adapter_name_or_path: was ["${one}", "${two}"] when three was made'
        " (put it back, or make three anew: --restart three)"
    ]


def test_a_step_that_writes_elsewhere_now_begins_anew_there(workspace: Workspace) -> None:
    stands(workspace, "one", "two")
    text = OFTEN.replace("${one}", "${one}\n    output_dir: elsewhere")
    plan = planned(workspace, text)
    assert whats(plan) == ["keep", "begin"]
    assert [one.message for one in plan.left_behind] == [
        "two begins anew; tales-two was made as two with the same options"
    ]
    (other,) = planned(workspace, text + "    lora_rank: 2\n").left_behind
    assert other.message == "tales-two stays as it is: it was made as the step two, which writes elsewhere now"


def test_steps_in_another_order_are_the_same_steps(workspace: Workspace) -> None:
    text = FILE.partition("steps:")[0] + "steps:\n  one:\n    lora_rank: 4\n  other:\n    lora_rank: 2\n"
    stands(workspace, "one", "other", text=text)
    turned = text.partition("  one:")[0] + "  other:\n    lora_rank: 2\n  one:\n    lora_rank: 4\n"
    plan = planned(workspace, turned)
    assert (plan.done, plan.left_behind, cautions(plan)) == (True, (), [])


def test_a_step_that_does_something_else_now_is_refused(workspace: Workspace) -> None:
    stands(workspace, "one", text=OFTEN)
    text = FILE.partition("  one:")[0] + "  one:\n    does: eval\n"
    assert told(workspace, text)[0] == (
        "tales.yaml:5: one.does: was train when one was made (put it back, or make one anew: --restart one)"
    )


def test_what_was_typed_at_the_last_start_and_is_not_now_is_told(workspace: Workspace) -> None:
    stands(workspace, "one", text=FILE.replace("adapter_name_or_path: ${one}\n", "lora_rank: 2\n", 1))
    assert cautions(planned(workspace)) == [
        "adapter_name_or_path was not given when the pipeline was last started, and is ${one} now",
        "lora_rank was 2 when the pipeline was last started, and is 8 now",
    ]


# --- while it goes on -------------------------------------------------------------------------------------------


def test_a_pipeline_that_goes_on_takes_over_nothing(workspace: Workspace) -> None:
    stands(workspace, "one", active="tales")
    assert planned(workspace).active
    (workspace.data / "intro.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    assert whats(planned(workspace)) == ["keep", "begin", "begin"]  # nothing is started, so nothing is refused
    edited = FILE.replace("  three:", "  four:").replace("lora_rank: 4", "lora_rank: 16")
    hint = "see it as it goes on: finetui pipeline tales; to change it, stop it first: finetui pipeline tales --stop"
    assert told(workspace, edited) == [
        f"tales.yaml:6: one.lora_rank: is 4 in the pipeline that is going on ({hint})",
        f"tales.yaml:9: four: is not in the pipeline that is going on ({hint})",
        f"steps: three is in the pipeline that is going on ({hint})",
    ]
    two, three = FILE[FILE.index("  two:") : FILE.index("  three:")], FILE[FILE.index("  three:") :]
    turned = FILE.partition("  two:")[0] + three.replace(",${two}", "") + two
    assert f"steps: the pipeline that is going on has them in another order ({hint})" in told(workspace, turned)


def test_a_run_that_goes_on_without_its_pipeline_is_not_made_anew(workspace: Workspace) -> None:
    stands(workspace, "one", active="one")
    assert whats(planned(workspace)) == ["join", "begin", "begin"]
    assert told(workspace, restart=("one",)) == [
        "--restart: the run of one is still going on (stop it first: finetui runs stop tales-one)"
    ]


@pytest.mark.parametrize(("asked", "busy"), [("tales", "tales"), ("one", "one"), ("one", ""), ("", "one")])
def test_what_was_asked_to_end_and_has_not_is_found(workspace: Workspace, asked: str, busy: str) -> None:
    runs = stands(workspace, "one", active=busy)
    if asked:
        runs[asked].run.wish("stop")
    expected = runs[asked].run if asked and asked == busy else None
    assert ending_run(read(), workspace) == expected


def test_a_run_that_is_ending_is_told_from_one_that_goes_on(workspace: Workspace) -> None:
    run = stands(workspace, "one", active="tales")["tales"].run
    with pytest.raises(RunError, match="the run tales is still going on: stop it first"):
        resume(run)
    run.wish("stop")
    with pytest.raises(RunError, match="the run tales was asked to end, and has not yet: wait for it"):
        resume(run)


def test_who_was_handed_a_ticket_is_known_by_what_it_was_drawn_for() -> None:
    ticket = Ticket(("cpu",), "/runs/tales-one")
    assert (is_holder("/runs/tales-one"), is_holder("/runs/tales-two")) == (True, False)
    ticket.release()
    assert not is_holder("/runs/tales-one")


# --- one cause, one error ---------------------------------------------------------------------------------------


def test_a_model_that_is_missing_is_told_once(workspace: Workspace) -> None:
    text = """\
model_name_or_path: nope
dataset: intro
steps:
  rm:
    stage: sft
  ppo:
    adapter_name_or_path: ${rm}
    ref_model: ${rm}
    stage: ppo
    reward_model: ${rm}
  compare:
    does: eval
    adapter_name_or_path: ${rm},${ppo},nobody
"""
    found = told(workspace, text)
    assert [problem.partition(" (")[0] for problem in found] == [
        "tales.yaml:1: model_name_or_path: no model nope",
        "tales.yaml:13: compare.adapter_name_or_path: no adapter nobody",
    ]
    steps = "  a:\n    model_name_or_path: nope\n  b:\n    does: eval\n    adapter_name_or_path: ${a}\n"
    alone = "dataset: intro\nsteps:\n" + steps
    assert [problem.partition(" (")[0] for problem in told(workspace, alone)] == [
        "tales.yaml:4: a.model_name_or_path: no model nope"
    ]


def test_what_stands_on_a_whole_model_that_a_step_makes_is_looked_at(workspace: Workspace) -> None:
    text = """\
dataset: intro
steps:
  sft:
    model_name_or_path: demo
    finetuning_type: full
  more:
    model_name_or_path: ${sft}
  compare:
    does: eval
    model_name_or_path: ${sft}
    adapter_name_or_path: ${more}
"""
    assert whats(planned(workspace, text)) == ["begin", "begin", "begin"]


def test_what_is_to_be_said_of_a_step_names_the_steps_that_it_stands_on(workspace: Workspace) -> None:
    text = """\
model_name_or_path: demo
dataset: intro
steps:
  sft:
    source_prefix: Be brief.
  ppo:
    stage: ppo
    checkpoint_dir: ${sft}
    reward_model: http://localhost:1/score
"""
    assert "the adapter ${sft} was trained with another source_prefix than this run has" in cautions(
        planned(workspace, text)
    )


@pytest.mark.parametrize("folder", ["tales", "runs/tales/inner", "runs"])
def test_a_step_writes_apart_from_its_pipeline(workspace: Workspace, folder: str) -> None:
    place = folder if "/" not in folder and folder != "runs" else str(workspace.root / folder)
    text = FILE.replace("lora_rank: 4", f"output_dir: {place}")
    assert any("is not apart from the pipeline's own" in problem for problem in told(workspace, text))
    assert not workspace.runs.exists()
