"""Reward models: the score at the last token of each answer, by a label's head or by a value head."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from evaluation_runs import Evaluated, add_set, evaluate_here
from safetensors.torch import save_file

from core.engine.control import Control
from core.engine.evaluating import conduct
from core.engine.scorers.classifier import Classifier
from core.engine.scorers.trained import TrainedScorer
from core.runs.rundir import RunDirectory
from core.workspace import Workspace
from tiny_models import WIDTH, make_classifier, reference_model, train_adapter
from training_runs import make_workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = make_workspace(tmp_path_factory.mktemp("workspace"))
    long = {"instruction": "z" * 440, "output": "b"}
    add_set(made, "few", [{"instruction": "Q", "output": "a"}, {"instruction": "And R?", "output": "b"}, long])
    return made


def ids_of(found: Evaluated, number: int) -> torch.Tensor:
    """The whole conversation up to what ends the answer, rendered as the tiny models' template does."""
    row = found.rows()[number]
    tokenizer = transformers.AutoTokenizer.from_pretrained(found.run.path.parent.parent / "models" / "tiny")
    text = f"{row.prompt}{row.predict}<|im_end|>"
    return torch.tensor([tokenizer(text, add_special_tokens=False).input_ids])


def test_a_classification_model_with_one_label_scores_answers(workspace: Workspace) -> None:
    folder = make_classifier(workspace.models / "judge", 1)
    found = evaluate_here(workspace, "classified", dataset=("few",), reward_model="judge", max_samples=2)
    model: Any = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    for number, row in enumerate(found.rows()):
        with torch.inference_mode():
            hidden = model.model(ids_of(found, number)).last_hidden_state[0, -1]
            assert row.reward == pytest.approx(model.score(hidden).item(), abs=1e-5)
    rewards = [row.reward or 0.0 for row in found.rows()]
    assert found.report().values["reward"].value == pytest.approx(sum(rewards) / 2)


def test_an_adapter_with_a_value_head_scores_answers_and_too_long_ones_have_no_score(workspace: Workspace) -> None:
    tiny = workspace.models / "tiny"
    adapter = train_adapter(tiny, workspace.runs / "rm")
    torch.manual_seed(4)
    head = {"v_head.summary.weight": torch.randn(1, WIDTH), "v_head.summary.bias": torch.randn(1)}
    save_file(head, adapter / "value_head.safetensors")
    found = evaluate_here(workspace, "valued", dataset=("few",), reward_model="rm", max_new_tokens=64)
    model = reference_model(tiny, adapter)
    rows = found.rows()
    for number in (0, 1):
        with torch.inference_mode():
            hidden = model(ids_of(found, number), output_hidden_states=True).hidden_states[-1][0, -1]
        score = hidden @ head["v_head.summary.weight"][0] + head["v_head.summary.bias"][0]
        assert rows[number].reward == pytest.approx(score.item(), rel=1e-4, abs=1e-4)
    assert len(rows[2].predict.encode()) > 30
    assert rows[2].reward is None
    assert found.report().values["reward"].n == 2
    assert "1 answer was too long for the reward model, and has no reward" in found.report().notes


def test_an_answer_that_memory_is_too_small_for_has_no_score(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_classifier(workspace.models / "large", 1)
    scores, asked = Classifier._scores, list[int]()

    def limited(self: Classifier, texts: Any) -> torch.Tensor:
        asked.append(len(texts))
        if len(asked) <= 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return scores(self, texts)

    monkeypatch.setattr(Classifier, "_scores", limited)
    found = evaluate_here(workspace, "short", dataset=("few",), reward_model="large", max_samples=2)
    assert [row.reward is None for row in found.rows()] == [True, False]
    assert asked == [2, 1, 1]
    assert found.report().complete


def test_what_is_no_reward_model_is_refused_with_a_reason(workspace: Workspace) -> None:
    def error(name: str) -> str:
        return evaluate_here(workspace, f"refused-{name}", dataset=("few",), reward_model=name).failed().error

    make_classifier(workspace.models / "classes", 3)
    train_adapter(workspace.models / "tiny", workspace.runs / "pickled", steps=1)
    (workspace.runs / "pickled" / "value_head.bin").write_bytes(b"\x80")
    wide = train_adapter(workspace.models / "tiny", workspace.runs / "wide", steps=1)
    save_file({"v_head.summary.weight": torch.zeros(1, 7)}, wide / "value_head.safetensors")
    assert "tiny is no reward model: it has no value head" in error("tiny")
    assert "tells 3 classes apart; a reward model has one label" in error("classes")
    assert "its value head is a pickle" in error("pickled")
    assert "the value head is for 7 numbers, the model has 48" in error("wide")
    assert "zzz" in error("zzz")


def test_stopped_while_answers_are_scored_it_goes_on_with_those_that_have_none(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_classifier(workspace.models / "patient", 1)
    run = RunDirectory(workspace.runs / "interrupted")
    control = Control(run)
    scores = TrainedScorer.scores

    def wished(self: TrainedScorer, conversations: Any) -> Any:
        for score in scores(self, conversations):
            run.wish("stop")
            yield score

    monkeypatch.setattr(conduct, "_SECONDS_BETWEEN_LOOKS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(TrainedScorer, "scores", wished)
        stopped = evaluate_here(
            workspace, "interrupted", control=control, dataset=("few",), reward_model="patient", max_samples=2
        )
    assert [row.reward is None for row in stopped.rows()] == [False, True]
    assert not stopped.report().complete
    assert "ended early: losses or rewards are missing" in stopped.report().notes
    whole = evaluate_here(workspace, "interrupted", resume=True)
    assert [row.reward is None for row in whole.rows()] == [False, False]
    assert whole.report().complete
