"""F3 for stages beyond the supervised one: four curves at once, numbers in words, alarms, answers over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.widgets import Static

from core.runs.events import DataReady, Evaluation, Sample
from core.runs.history import read_history
from core.runs.quantities import QUANTITIES
from core.workspace import Workspace, load_state
from scripted_runs import BEGAN, ScriptedRun
from train_app import HOSTILE, ended, hasten
from tui.curve_plots import told_at
from tui.run_line import runs_text
from tui.widgets.answers_page import AnswersPage, question_content
from tui.widgets.curve import Curve
from tui.widgets.stage_lines import StageLines, stage_content
from tui.widgets.status_bar import StatusBar


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)


def ppo_run(workspace: Workspace, name: str = "zh-ppo", *, upto: int = 71) -> ScriptedRun:
    """A PPO run that goes on, with its models beside it."""
    run = ScriptedRun(workspace.runs / name, stage="ppo")
    run.configure(ppo_target=6.0, ppo_adaptive_kl="true", reward_model="zh-rm")
    run.start()
    run.beside("telecom (adapter) on demo", "zh-rm")
    run.ready()
    run.ppo_steps(1, upto)
    return run


def pair_run(workspace: Workspace, stage: str = "rm") -> ScriptedRun:
    run = ScriptedRun(workspace.runs / f"zh-{stage}", stage=stage, launched=BEGAN - 500)
    run.start(alive=False)
    run.ready()
    run.pair_steps(1, 91)
    run.tell(Evaluation(run.now, 91, 2.0, {"loss": 0.5, "accuracy": 0.8, "margin": 1.25}, 40, 1.0))
    run.finish()
    return run


_SECOND = ("spread", "coefficient", "ended", "value", "scoring")


def words(screen: Any) -> list[str]:
    return str(screen.screen.query_one(StageLines).content).splitlines()


# --- the panel --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "keys"), [((120, 36), ()), ((80, 24), ("enter",))])
async def test_reward_distance_entropy_and_length_are_seen_at_once(
    train: Any, chat_workspace: Workspace, size: tuple[int, int], keys: tuple[str, ...]
) -> None:
    ppo_run(chat_workspace)
    async with train(size) as screen:
        await screen.press(*keys)
        await screen.until(lambda: len(screen.curves()) == 4, "four charts")
        assert list(screen.curves()) == ["reward", "KL", "entropy", "length"]
        widths = {curve.size.width for curve in screen.screen.query("Curve")}
        assert max(widths) - min(widths) <= 1
        await screen.until(lambda: words(screen), "the words")
        assert [line.split() for line in words(screen)][:4] == [
            ["reward", "0.775", "spread", "0.5", "normalised", "0.25"],
            ["KL", "2.84,", "aim", "6", "coefficient", "0.2", "clipped", "4%"],
            ["length", "32.9", "ended", "90%", "repeated", "5%"],
            ["entropy", "1.29", "value", "loss", "0.3", "explained", "60%"],
        ]
        assert len({line.index(name) for line, name in zip(words(screen), _SECOND, strict=False)}) == 1


async def test_the_target_of_the_distance_is_a_line_from_where_it_comes_near(
    train: Any, chat_workspace: Workspace
) -> None:
    run = ppo_run(chat_workspace, upto=51)
    async with train() as screen:
        await screen.until(lambda: screen.curves(), "the charts")
        assert "╌" not in screen.curves()["KL"]
        run.ppo_steps(61, 91)
        await screen.until(lambda: "╌╌╌" in screen.curves()["KL"], "the line")
        assert "6┤╌╌╌" in screen.curves()["KL"]
        assert "╌" not in screen.curves()["reward"]


async def test_other_curves_take_a_place_when_they_are_gone_to(train: Any, chat_workspace: Workspace) -> None:
    ppo_run(chat_workspace)
    async with train() as screen:
        await screen.press("enter")
        for _key in range(4):
            await screen.press("down")
        titles = [line.split("  ")[0].strip() for line in (curve.text for curve in screen.screen.query(Curve))]
        assert titles == ["reward", "KL", "entropy", "▸reward spread"]
        await screen.press("f")
        assert "The scores' stand" in screen.legend
        await screen.press("f", "m", "space", "enter")
        assert list(screen.curves()) == ["reward"]
        assert load_state(chat_workspace)["curves"]["metrics_ppo"] == ["reward"]
        assert load_state(chat_workspace)["curves"]["metrics"] == []


@pytest.mark.parametrize("stage", ["rm", "dpo"])
async def test_pairs_show_training_and_kept_rows_in_one_chart(
    train: Any, chat_workspace: Workspace, stage: str
) -> None:
    pair_run(chat_workspace, stage)
    async with train() as screen:
        await screen.until(lambda: len(screen.curves()) == 4, "four charts")
        assert list(screen.curves()) == ["loss", "accuracy", "margin", "rewards"]
        assert screen.curves()["accuracy"].split("\n")[0].split()[1:3] == ["0.955", "e"]
        assert "b 0.91  w -0.91" in screen.curves()["rewards"]
        assert " ".join(" ".join(words(screen)).split()) == (
            "accuracy 96% margin 1.82 better 0.91 worse -0.91 eval accuracy 80% eval margin 1.25"
        )
        assert "accuracy 0.955" in screen.rows()[0]


async def test_a_supervised_run_looks_as_before(train: Any, chat_workspace: Workspace) -> None:
    ended(chat_workspace, "old")
    async with train() as screen:
        await screen.until(lambda: screen.curves(), "the curves")
        assert list(screen.curves()) == ["loss", "eval_loss", "grad_norm", "learning_rate", "tokens_per_second"]
        assert not screen.screen.query_one(StageLines).display
        assert "stage" not in screen.text("#train-facts Static")


async def test_it_is_told_what_it_is_held_against(train: Any, chat_workspace: Workspace) -> None:
    run = ppo_run(chat_workspace)
    run.tell(DataReady(run.now, 16, 3364, 0, 0, 0, 0, 100, 2.0))
    async with train() as screen:
        await screen.until(lambda: "held against" in screen.text("#train-facts Static"), "the reference")
        told = screen.text("#train-facts Static")
        assert "telecom (adapter) on demo, as it was at the start" in told
        assert "abababababab" in told
        assert "trained on" not in told  # questions have no tokens that are learnt
        assert "rewards from zh-rm (lora)" in " ".join(told.split())


async def test_an_idle_panel_paints_nothing(train: Any, chat_workspace: Workspace) -> None:
    pair_run(chat_workspace)
    async with train() as screen:
        await screen.until(lambda: words(screen), "the words")
        await screen.pilot.pause(0.2)
        painted: list[object] = []
        screen.app._display = lambda _screen, renderable: painted.append(renderable)
        await screen.pilot.pause(0.3)
        assert painted == []


# --- alarms -----------------------------------------------------------------------------------------------------


async def test_an_alarm_is_seen_wherever_one_is_with_what_to_do(train_in_app: Any, chat_workspace: Workspace) -> None:
    run = ppo_run(chat_workspace)
    async with train_in_app() as screen:
        await screen.until(lambda: words(screen), "the words")
        run.warn("step 71: answers lie 18.5 nats from the reference, more than 18", "raise ppo_kl_coef")
        await screen.until(lambda: words(screen)[0].startswith("! step 71"), "the alarm")
        assert words(screen)[:3] == [
            "! step 71: answers lie 18.5 nats from the reference,",
            "  more than 18",
            "  raise ppo_kl_coef",
        ]
        assert screen.toasts == [
            "zh-ppo: alarm step 71: answers lie 18.5 nats from the reference, more than 18. raise ppo_kl_coef"
        ]
        bar = screen.screen.query_one(StatusBar)
        await screen.until(lambda: "! step 71: answers lie 18.5 nats…" in bar.status.runs, "the line at the bottom")
        run.warn("step 72: answers lie 19.5 nats from the reference, more than 18", "raise ppo_kl_coef")
        await screen.until(lambda: words(screen)[0].startswith("! step 72"), "the newer one in its place")
        assert len(screen.toasts) == 1
        assert sum(line.startswith("!") for line in words(screen)) == 1
        run.ppo_steps(95, 100)
        run.step(100, 0.1, reward=1.0)
        await screen.until(lambda: "!" not in bar.status.runs, "that it is old")


def test_what_was_said_before_the_training_is_no_alarm(tmp_path: Path) -> None:
    run = ScriptedRun(tmp_path / "run", stage="ppo")
    run.start()
    run.warn("fp16 needs a GPU")
    run.ready()
    run.ppo_steps(1, 11)
    text = str(stage_content(read_history(run.run), "ppo", {}, 60, 20))
    assert "fp16" not in text
    assert text.startswith("reward -0.725")
    assert "KL 0.44 of" not in text  # nothing is known of a target
    assert "KL 0.44" in text
    assert runs_text([]) == ""


def test_how_many_rows_there_are_never_goes_by_the_numbers(tmp_path: Path) -> None:
    run = ScriptedRun(tmp_path / "run", stage="ppo")
    run.start()
    run.ready()
    for width in (20, 40, 54, 90):
        rows = set()
        for step, value in ((1, 1.0), (2, -0.000123), (3, 123456.0), (4, float("nan"))):
            run.step(step, 1.0, **dict.fromkeys((quantity.name for quantity in QUANTITIES["ppo"]), value))
            content = stage_content(read_history(run.run), "ppo", {"ppo_target": "6"}, width, 30)
            rows.add(len(content.split("\n")))
            assert max(line.cell_length for line in content.split("\n")) <= width
        assert len(rows) == 1


def test_hostile_alarms_are_inert_and_the_words_keep_to_their_room(tmp_path: Path) -> None:
    run = ScriptedRun(tmp_path / "run", stage="ppo")
    run.start()
    run.ready()
    run.ppo_steps(1, 11)
    run.warn(HOSTILE + "警" * 60, HOSTILE)
    for width, most in ((54, 12), (20, 3), (5, 1), (54, 0)):
        content = stage_content(read_history(run.run), "ppo", {"ppo_target": "6"}, width, most)
        lines = content.split("\n") if content else []
        assert len(lines) <= most
        assert all(line.cell_length <= max(width, 12) for line in lines)
        assert "\x1b" not in str(content)
    shown = str(stage_content(read_history(run.run), "ppo", {"ppo_target": "6"}, 54, 12))
    assert "[bold]x[/bold]" in shown


# --- answers over time ------------------------------------------------------------------------------------------


async def test_one_question_at_a_time_from_the_first_answer_on_with_its_rewards(
    train: Any, chat_workspace: Workspace
) -> None:
    run = ppo_run(chat_workspace)
    for step, reward in ((0, -1.25), (40, 0.5), (80, 0.75)):
        run.answer(step, "你是谁？", f"我是第{step}步的客服" + "小智" * 12, reward)
        run.answer(step, "Who?", HOSTILE if step else "I am a model.", reward + 1)
    async with train() as screen:
        await screen.press("enter", "3")
        page = screen.screen.query_one(AnswersPage)
        shown = str(page.query_one(Static).content)
        head, rows = shown.splitlines()[:4], shown.splitlines()[4:]
        assert head == ["question 1 of 2  ←→", "你是谁？", "", "   step   reward  "]
        assert [row[:18].split() for row in rows] == [["0", "-1.25"], [], ["40", "0.5"], [], ["80", "0.75"], []]
        assert "".join(row[18:] for row in rows[:2]) == "我是第0步的客服" + "小智" * 12
        assert all(cell_len(row) <= page.size.width - 2 for row in rows)
        await screen.press("right")
        shown = str(page.query_one(Static).content)
        assert shown.splitlines()[0:2] == ["question 2 of 2  ←→", "Who?"]
        assert shown.splitlines()[4:] == [
            "      0    -0.25  I am a model.",
            "     40      1.5  ␛]0;owned␇[bold]x[/bold]␛[2J",
            "     80     1.75  as before",
        ]
        await screen.press("right")
        assert "question 1 of 2" in str(page.query_one(Static).content)
        assert "←→ question" in screen.text("#train-keys")


def test_of_very_many_answers_the_first_and_the_newest_are_kept() -> None:
    samples = [Sample(1.0, step, "q", f"answer {step}", 0.1) for step in range(0, 2000, 10)]
    lines = str(question_content(samples, 0, 60)).splitlines()[3:]
    assert lines[1].split()[0] == "0"
    assert lines[-1].split()[0] == "1990"
    assert len(lines) == 1 + 60


async def test_the_page_that_is_open_is_the_one_that_is_marked(train: Any, chat_workspace: Workspace) -> None:
    ppo_run(chat_workspace)
    async with train() as screen:
        await screen.press("3")
        tabs = screen.screen.query_one("#train-tabs", Static).content
        marked = [tabs.plain[span.start : span.end] for span in tabs.spans if "underline" in str(span.style)]
        assert marked == ["3 answers"]


async def test_a_reward_model_is_not_waited_for_to_answer(train: Any, chat_workspace: Workspace) -> None:
    pair_run(chat_workspace).save(91)
    async with train() as screen:
        await screen.press("enter", "3")
        page = screen.screen.query_one(AnswersPage)
        assert str(page.query_one(Static).content) == "A reward model writes no answers; it scores those of others."


def test_a_checkpoint_is_told_by_the_rows_that_were_kept(chat_workspace: Workspace) -> None:
    history = read_history(pair_run(chat_workspace).run)
    assert told_at(history, "rm", 91) == "eval accuracy 0.8"
    assert told_at(read_history(ppo_run(chat_workspace).run), "ppo", 71) == "reward 0.775, KL 2.84"


async def test_a_reward_model_that_trains_has_a_word_for_its_number(train: Any, chat_workspace: Workspace) -> None:
    run = ScriptedRun(chat_workspace.runs / "zh-rm", stage="rm")
    run.start()
    run.ready()
    run.pair_steps(1, 75)
    async with train() as screen:
        assert screen.rows()[0].split("\n")[1].split() == ["accuracy", "0.855", "29", "s"]
