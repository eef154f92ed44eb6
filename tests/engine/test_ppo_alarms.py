"""Alarms of a reinforcement learning, and the numbers they look at."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from core.engine.ppo.alarms import Alarms, Seen
from core.engine.ppo.experience import Answer, Experience, Opinions, repeated_rate, spread
from core.engine.ppo.watch import refuse_no_number
from core.errors import TrainingError

CALM = Seen(step=7, answers=16, kl=1.0, tokens=12.0, reward_spread=1.0, shared_rate=0.0)


def begun(target: float | None = None) -> Alarms:
    """Alarms that have seen the first steps."""
    alarms = Alarms(target)
    for step in range(1, 4):
        assert alarms.news(replace(CALM, step=step)) == []
    return alarms


@pytest.mark.parametrize(
    ("changed", "name", "words"),
    [
        ({"kl": -0.6}, "negative_kl", "step 7: the distance to the reference is -0.60 nats an answer"),
        ({"kl": -7.5, "answers": 1}, "negative_kl", "step 7: the distance to the reference is -7.50 nats an answer"),
        ({"kl": 10.5}, "far_kl", "step 7: answers lie 10.5 nats from the reference, more than 10"),
        ({"tokens": 2.9}, "short_answers", "step 7: answers have 2.9 tokens on average, at the beginning 12.0"),
        ({"reward_spread": 0.0}, "same_scores", "step 7: all 16 answers have the same score"),
        ({"shared_rate": 0.51}, "repeated_answers", "step 7: 51% of the answers were given to different questions"),
        ({"cut_rate": 0.6, "longest": 48}, "cut_answers", "step 7: 60% of the answers are cut off at 48 tokens"),
    ],
)
def test_what_goes_wrong_is_said_with_what_helps(changed: dict[str, float], name: str, words: str) -> None:
    (alarm,) = begun().news(replace(CALM, **changed))
    assert alarm.name == name
    assert words in alarm.message
    assert any(option in alarm.hint for option in ("ppo_kl_coef", "learning_rate", "ppo_buffer_size", "max_new"))


@pytest.mark.parametrize(
    "changed",
    [
        {"kl": -0.4},
        {"kl": -1.5, "answers": 1},
        {"kl": -0.8, "answers": 8},
        {"kl": 9.9},
        {"tokens": 3.1},
        {"reward_spread": 0.0, "answers": 1},
        {"shared_rate": 0.5},
        {"cut_rate": 0.5},
    ],
)
def test_what_may_be_chance_is_not_said(changed: dict[str, float]) -> None:
    assert begun().news(replace(CALM, **changed)) == []


def test_who_takes_from_cut_answers_already_is_told_the_other_way_out() -> None:
    (alarm,) = Alarms(penalty=0.5).news(replace(CALM, cut_rate=1.0, longest=9))
    assert alarm.hint == "raise max_new_tokens; ppo_missing_eos_penalty takes 0.5 from their scores already"
    (alarm,) = Alarms().news(replace(CALM, cut_rate=1.0, longest=9))
    assert alarm.hint.endswith("have them lose some of their score: ppo_missing_eos_penalty")


def test_who_aims_far_is_warned_later() -> None:
    assert begun(target=6.0).news(replace(CALM, kl=17.0)) == []
    (alarm,) = begun(target=6.0).news(replace(CALM, kl=18.5), "step-000200")
    assert "more than 18" in alarm.message
    assert alarm.hint.endswith("; step-000200 is of before")
    assert "ppo_target" in alarm.hint


def test_an_answer_of_one_token_is_too_short_whatever_it_was_at_first() -> None:
    alarms = Alarms()
    assert [alarm.name for alarm in alarms.news(replace(CALM, tokens=1.5))] == ["short_answers"]


def test_an_alarm_is_said_once_until_it_has_been_quiet() -> None:
    alarms, loud = begun(), replace(CALM, kl=11.0)
    assert len(alarms.news(loud)) == 1
    for _step in range(3):  # it wavers about the limit
        assert alarms.news(CALM) == []
        assert alarms.news(loud) == []
    for _step in range(5):
        assert alarms.news(CALM) == []
    assert len(alarms.news(loud)) == 1


def test_the_distance_on_rows_that_were_kept_is_looked_at_too() -> None:
    alarms = begun(target=6.0)
    assert alarms.news_of_evaluation(17.0, 10) == []
    (alarm,) = alarms.news_of_evaluation(20.4, 20, "step-000010")
    assert alarm.message == "step 20: answers to the evaluation rows lie 20.4 nats from the reference, more than 18"
    assert alarm.hint.endswith("; step-000010 is of before")
    for _step in range(9):  # steps between two evaluations make it no news
        assert alarms.news(CALM) == []
    assert alarms.news_of_evaluation(21.0, 30) == []
    assert alarms.news_of_evaluation(9.0, 40) == []
    assert len(alarms.news_of_evaluation(21.0, 50)) == 1


def test_a_checkpoint_remembers_what_was_said() -> None:
    before, after = begun(), Alarms()
    before.news(replace(CALM, kl=11.0))
    after.load_state_dict(before.state_dict())
    assert after.news(replace(CALM, kl=11.0)) == []
    assert [alarm.name for alarm in after.news(replace(CALM, tokens=2.5))] == ["short_answers"]


# --- the numbers ------------------------------------------------------------------------------------------------


def experience() -> Experience:
    answers = [
        Answer((5, 6), (7, 8, 0), "yes", True, 1.0),
        Answer((9,), (7,), "yes", False, 2.0),
        Answer((5, 6), (8, 8), "no", False, 6.0),
        Answer((5, 6), (8, 8), "no", True, 3.0),
    ]
    own = torch.tensor([-1.0, -2, -3, -4, -5, -6, -7, -8])
    reference = torch.tensor([-1.5, -2, -3, -3, -5, -7, -7, -8])
    return Experience(answers, Opinions(own, reference, torch.zeros(8), torch.arange(8.0)))


def test_what_is_told_of_answers() -> None:
    told = experience().told()
    assert told == {
        "reward": 3.0,
        "reward_spread": pytest.approx(2.160247),
        "kl": pytest.approx((0.5 - 1.0 + 1.0 + 0.0) / 4),
        "entropy": 3.5,
        "answer_tokens": 2.0,
        "eos_rate": 0.5,
        "repeated_rate": 1.0,
    }


def test_the_same_words_to_the_same_question_are_no_alarm() -> None:
    assert experience().shared_rate == 0.5


def test_tokens_are_found_by_answer() -> None:
    assert experience().tokens_of([2, 0]).tolist() == [4, 5, 0, 1, 2]


def test_an_answers_tokens_are_those_that_count() -> None:
    row = experience().answers[0].row
    assert row.ids.tolist() == [5, 6, 7, 8, 0]
    assert row.trained.tolist() == [False, False, True, True, True]


def test_small_batches() -> None:
    assert spread([4.0]) == 0.0
    assert repeated_rate(["a", "b", "a", "c"]) == 0.5


def test_a_score_that_is_no_number_ends_the_run() -> None:
    answers = [Answer((5,), (7,), "fine", True, 1.0), Answer((5,), (7,), "\x1b[31mred", True, float("inf"))]
    refuse_no_number(answers[:1], 3, "rewards.py:f", "the last checkpoint is step-000002")
    with pytest.raises(TrainingError) as raised:
        refuse_no_number(answers, 3, "rewards.py:f", "the last checkpoint is step-000002")
    assert raised.value.message == "step 3: rewards.py:f gives the reward inf for an answer, which is no number"
    assert "\x1b" not in raised.value.hint
    assert raised.value.hint.endswith("; the last checkpoint is step-000002")
