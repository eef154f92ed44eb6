"""What scores answers: each kind gives the numbers that it would give alone, and touches nothing of the policy."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from scoring_server import scoring_server
from tuning_base import train, tunable

from core.chat.message import Message
from core.config.evaluation import EvaluatedModelOptions
from core.config.model import BaseModelOptions
from core.engine.beside.models import Beside
from core.engine.beside.policy_runner import PolicyRunner
from core.engine.evaluating.rewards import load_reward_model
from core.engine.scorers.function import open_function
from core.engine.scorers.opening import open_scorer
from core.engine.scorers.scorer import Asked, Scorer
from core.engine.scorers.server import ServerScorer, open_server
from core.engine.tuning.headed import with_head
from core.engine.tuning.tuned import Tuned
from core.errors import FinetuiError, ScoringFailed
from core.models.notes import AdapterNotes, MergedAdapter, sha256_of, write_notes
from core.models.reward_source import find_reward_source
from core.workspace import Workspace
from tiny_models import WIDTH, make_classifier, make_model, reference_model, train_adapter

ANSWERS = ("No.", "Yes, of course", "", "That is a long story, and nobody has told it before", "No.")
TALK = (Message("user", "Hi"), Message("assistant", "Hello!"), Message("user", "Is it so?"))


def asked() -> list[Asked]:
    talks: Sequence[Sequence[Message]] = [TALK[-1:], TALK, TALK[-1:], TALK, (Message("user", "Why?"),)]
    return [Asked(talk, (5, 6), (7, 8), answer) for talk, answer in zip(talks, ANSWERS, strict=True)]


def with_value_head(folder: Path, seed: int = 4) -> Path:
    torch.manual_seed(seed)
    head = {"v_head.summary.weight": torch.randn(1, WIDTH), "v_head.summary.bias": torch.randn(1)}
    save_file(head, folder / "value_head.safetensors")
    return folder


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("scorers")
    (root / "runs").mkdir()
    tiny = make_model(root / "models" / "tiny", "llama")
    with_value_head(train_adapter(tiny, root / "runs" / "plain", seed=1))
    with_value_head(train_adapter(tiny, root / "runs" / "dora", seed=2, use_dora=True))
    sft = train_adapter(tiny, root / "runs" / "sft", seed=3)
    over = with_value_head(train_adapter(tiny, root / "runs" / "over", seed=5))
    chain = (MergedAdapter(str(sft), sha256_of([sft / "adapter_model.safetensors"])),)
    write_notes(over, AdapterNotes("lora", base=str(tiny), chain=chain))
    manner = with_value_head(train_adapter(tiny, root / "runs" / "manner", seed=6))
    notes = AdapterNotes("lora", base=str(tiny), template="alpaca", default_system="Be strict.", source_prefix="Q: ")
    write_notes(manner, notes)
    with_value_head(make_model(root / "models" / "whole", "olmo2", seed=7))
    make_classifier(root / "models" / "judge")
    return Workspace(root)


def prepared(workspace: Workspace, model: str = "tiny", **options: Any) -> Tuned:
    tuned = tunable(workspace.models / model, **options)
    assert isinstance(tuned, Tuned)
    return tuned


def opened(
    workspace: Workspace, name: str, tuned: Tuned, policy: PolicyRunner | None = None
) -> tuple[Scorer, list[str]]:
    warnings: list[str] = []
    beside = Beside(tuned, tuned.base, BaseModelOptions(device="cpu"), policy)
    return open_scorer(find_reward_source(name, "auto", workspace), beside, warnings.append), warnings


def by_evaluation(workspace: Workspace, name: str) -> list[float]:
    """The scores that an evaluation gives, with the reward model loaded by itself."""
    source = find_reward_source(name, "auto", workspace)
    return load_reward_model(source, EvaluatedModelOptions(device="cpu", dtype="float32")).score(asked())


def plainly(workspace: Workspace, name: str, talk: Sequence[Message], answer: str, model: str = "tiny") -> float:
    """By transformers and PEFT: the head on the last hidden state, at the token that ends the answer."""
    text = "".join(
        f"<|im_start|>{one.role}\n{one.content}<|im_end|>\n" for one in (*talk, Message("assistant", answer))
    )
    return headed(workspace, name, text.removesuffix("\n"), model)


def headed(workspace: Workspace, name: str, text: str, model: str = "tiny") -> float:
    folder = workspace.models / name if model == name else workspace.runs / name
    network = reference_model(workspace.models / model, None if model == name else folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(workspace.models / model)
    ids = torch.tensor([tokenizer(text, add_special_tokens=False).input_ids])
    with torch.inference_mode():
        state = network(input_ids=ids, output_hidden_states=True).hidden_states[-1][0, -1]
    head = load_file(folder / "value_head.safetensors")
    return float(state @ head["v_head.summary.weight"][0] + head["v_head.summary.bias"][0])


# --- reward models -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "dora"])
def test_an_adapter_on_the_policys_base_scores_as_it_does_alone(workspace: Workspace, name: str) -> None:
    tuned = prepared(workspace, lora_dropout=0.3)
    policy = PolicyRunner(tuned, tuned.base)
    scorer, warnings = opened(workspace, name, tuned, policy)
    assert warnings == []
    assert (scorer.name, scorer.kind) == (name, "lora")
    train(tuned, 3)
    tuned.network.train()
    scores = scorer.score(asked())
    assert scores == pytest.approx([plainly(workspace, name, one.messages, one.answer) for one in asked()], abs=2e-4)
    assert scores == pytest.approx(by_evaluation(workspace, name), abs=2e-4)
    assert scorer.score(asked()) == scores


def test_scoring_changes_no_weight_of_the_policy_and_no_bit_of_its_head(workspace: Workspace) -> None:
    tuned = prepared(workspace)
    headed_policy = with_head(tuned, tuned.base)
    torch.nn.init.normal_(headed_policy.head.weight)
    scorer, _warnings = opened(workspace, "plain", tuned)
    before = {name: one.clone() for name, one in headed_policy.state().items()}
    base = {name: one.detach().clone() for name, one in tuned.network.named_parameters()}
    scorer.score(asked())
    assert all(torch.equal(before[name], one) for name, one in headed_policy.state().items())
    assert all(torch.equal(base[name], one) for name, one in tuned.network.named_parameters())
    assert {name for name, one in tuned.network.named_parameters() if one.requires_grad} == tuned.trained.keys()


def test_what_a_reward_adapter_was_trained_over_comes_along(workspace: Workspace) -> None:
    scorer, warnings = opened(workspace, "over", prepared(workspace))
    assert warnings == []
    scores = scorer.score(asked())
    assert scores == pytest.approx(by_evaluation(workspace, "over"), abs=2e-4)
    without = [plainly(workspace, "over", one.messages, one.answer) for one in asked()]
    assert max(abs(a - b) for a, b in zip(scores, without, strict=True)) > 0.01


def test_a_base_that_both_were_trained_over_is_shared(workspace: Workspace) -> None:
    tuned = prepared(workspace, adapters=[workspace.runs / "sft"], create_new_adapter=True)
    scorer, warnings = opened(workspace, "over", tuned)
    assert warnings == []
    train(tuned, 3)
    assert scorer.score(asked()) == pytest.approx(by_evaluation(workspace, "over"), abs=2e-4)


def test_a_reward_model_asks_in_the_manner_that_it_was_trained_in(workspace: Workspace) -> None:
    scorer, _warnings = opened(workspace, "manner", prepared(workspace, template="vicuna"))
    text = "<|endoftext|>Be strict.\n\n### Instruction:\nQ: Why?\n\n### Response:\nNo.<|endoftext|>"
    assert scorer.score(asked()[-1:]) == [pytest.approx(headed(workspace, "manner", text), abs=2e-4)]


@pytest.mark.parametrize(
    ("options", "name"),
    [({"adapters": ("sft",), "create_new_adapter": True}, "plain"), ({"finetuning_type": "full"}, "plain")],
    ids=["merged", "full"],
)
def test_over_weights_that_are_not_the_bases_it_is_loaded_by_itself(
    workspace: Workspace, options: dict[str, Any], name: str
) -> None:
    adapters = [workspace.runs / one for one in options.get("adapters", ())]
    tuned = prepared(workspace, **{**options, "adapters": adapters})
    scorer, warnings = opened(workspace, name, tuned)
    assert warnings == [f"the reward model {name} is a model of its own beside the trained one, in memory too"]
    train(tuned, 3)
    assert scorer.score(asked()) == pytest.approx(by_evaluation(workspace, name), abs=2e-4)


def test_a_whole_model_with_a_head_scores(workspace: Workspace) -> None:
    scorer, warnings = opened(workspace, "whole", prepared(workspace))
    assert (scorer.kind, len(warnings)) == ("full", 1)
    expected = [plainly(workspace, "whole", one.messages, one.answer, "whole") for one in asked()]
    assert scorer.score(asked()) == pytest.approx(expected, abs=2e-4)


def test_a_classification_model_scores_rows_of_any_length_together(workspace: Workspace) -> None:
    scorer, _warnings = opened(workspace, "judge", prepared(workspace))
    together = scorer.score(asked())
    assert together == pytest.approx([scorer.score([one])[0] for one in asked()], abs=1e-5)
    assert len(set(together)) == 5


def test_a_conversation_that_is_too_long_for_a_reward_model_is_told(workspace: Workspace) -> None:
    scorer, _warnings = opened(workspace, "plain", prepared(workspace))
    long = replace(asked()[0], answer="z" * 600)
    with pytest.raises(ScoringFailed, match=r"^1 answer is too long for the reward model plain"):
        scorer.score([long, asked()[1]])


# --- functions ---------------------------------------------------------------------------------------------------

FUNCTIONS = """
import math
def short(prompts, answers):
    print("aside")
    return [len(prompt) - len(answer) / 10 for prompt, answer in zip(prompts, answers)]
def turns(messages, answers):
    return [sum(one["role"] == "user" for one in talk) for talk in messages]
def few(prompts, answers):
    return [1.0]
def none(prompts, answers):
    return [None] * len(answers)
def nan(prompts, answers):
    return [math.nan] * len(answers)
def words(prompts, answers):
    return ["1"] * len(answers)
def fails(prompts, answers):
    return [1 / len(answer) for answer in answers]
def ends(prompts, answers):
    raise SystemExit(3)
def number(prompts, answers):
    return 7
def huge(prompts, answers):
    return [1e300] * len(answers)
def endless(prompts, answers):
    return [10 ** 400] * len(answers)
def nothing(prompts, answers):
    pass
def metric(predict, label):
    return -len(predict)
"""


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("functions") / "own.py"
    path.write_text(FUNCTIONS)
    return path


def test_a_function_gets_questions_or_whole_conversations(functions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert open_function(f"{functions}:short").score(asked())[:2] == [len("Is it so?") - 0.3, len("Is it so?") - 1.4]
    assert open_function(f"{functions}:turns").score(asked()) == [1.0, 2.0, 1.0, 2.0, 1.0]
    assert open_function(f"{functions}:turns").score([]) == []
    assert (open_function(f"{functions}:short").name, open_function(f"{functions}:short").kind) == (
        "own.py:short",
        "function",
    )
    assert capsys.readouterr() == ("", "aside\n")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("few", "own.py:few gave 1 number for 5 answers"),
        ("none", "own.py:none gave None for the answer 'No.'"),
        ("nan", "own.py:nan gave nan for the answer 'No.'"),
        ("words", "own.py:words gave '1' for the answer 'No.'"),
        ("fails", "own.py:17: ZeroDivisionError: division by zero"),
        ("ends", "own.py:19: SystemExit: 3"),
        ("number", "own.py:number gave 7, which is no list"),
        ("nothing", "own.py:nothing gave None, which is no list"),
        ("huge", "own.py:huge gave 1e+300 for the answer 'No.'"),
        ("endless", "own.py:endless gave 10000"),
        ("missing", "defines no function missing"),
    ],
)
def test_a_function_that_gives_no_numbers_says_where_and_what(functions: Path, name: str, said: str) -> None:
    with pytest.raises(FinetuiError) as failed:
        open_function(f"{functions}:{name}").score(asked())
    assert failed.value.message.startswith(said) or name == "missing"
    assert said in failed.value.message
    assert "prompts and answers" in failed.value.hint


# --- servers -----------------------------------------------------------------------------------------------------


def hasty(scorer: ServerScorer) -> ServerScorer:
    return replace(scorer, server=replace(scorer.server, first_pause=0.01, retries=2))


def test_a_server_is_asked_as_llama_factory_asks_it(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUI_REWARD_KEY", "secret")
    tuned = prepared(workspace)
    ids = tuned.base.tokenizer.encode("<|im_start|>user\nHi<|im_end|>\n"), tuned.base.tokenizer.encode("Yo<|im_end|>")
    with scoring_server() as served:
        scorer, _warnings = opened(workspace, served.address, tuned)
        assert scorer.score([Asked(TALK, *ids, "Yo")]) == [42.0]
        assert served.bodies == [{"model": "model", "messages": ["<|im_start|>user\nHi<|im_end|>\nYo<|im_end|>"]}]
        assert served.keys == ["Bearer secret"]
        assert (scorer.name, scorer.kind) == (served.address, "api")
        assert open_server(served.address).score([Asked(TALK, (), (), "b", text="ab")] * 300) == [2.0] * 300
        assert [len(body["messages"]) for body in served.bodies[1:]] == [256, 44]


def test_what_passes_by_itself_is_asked_again(workspace: Workspace) -> None:
    with scoring_server([(503, b"busy"), (200, b'{"scores": [[0.5]]}')]) as served:
        assert hasty(open_server(served.address)).score([Asked((), (), (), "a", "a")]) == [0.5]
    with scoring_server([(500, b"broken")] * 3) as served:
        with pytest.raises(ScoringFailed, match="answered with status 500: broken"):
            hasty(open_server(served.address)).score([Asked((), (), (), "a", "a")])
        assert len(served.bodies) == 3


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"<html>",
        b'{"score": [1]}',
        b'{"scores": [1, 2]}',
        b'{"scores": ["1"]}',
        b'{"scores": [NaN]}',
        b'{"scores": [1e999]}',
        b'{"scores": [1e99]}',
        b'{"scores": [true]}',
    ],
)
def test_a_server_that_gives_no_scores_says_what_came(body: bytes) -> None:
    with scoring_server([(200, body)]) as served, pytest.raises(ScoringFailed) as failed:
        hasty(open_server(served.address)).score([Asked((), (), (), "a", "a")])
    assert "gave no score for each of 1 answers; it said: " + body.decode() in failed.value.message
    assert len(served.bodies) == 1


def test_nobody_at_the_address_is_told(workspace: Workspace) -> None:
    with scoring_server() as served:
        address = served.address
    with pytest.raises(ScoringFailed, match="cannot be reached"):
        hasty(open_server(address)).score([Asked((), (), (), "a", "a")])


# --- stops -------------------------------------------------------------------------------------------------------


def test_a_stop_hangs_up_on_a_server_that_lets_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    one, held = Asked((), (), (), "a", "a"), threading.Event()
    with scoring_server() as served:
        answer = served.answer

        def answer_late(body: dict[str, Any], key: str) -> tuple[int, bytes]:
            found: tuple[int, bytes] = answer(body, key)
            held.wait(30)
            return found

        monkeypatch.setattr(served, "answer", answer_late)
        try:
            assert open_server(served.address).score([one] * 300, lambda: bool(served.bodies)) == []
        finally:
            held.set()
        assert len(served.bodies) == 1


def test_a_stop_does_not_wait_for_another_try() -> None:
    with scoring_server([(503, b"busy")]) as served:
        scorer = open_server(served.address)
        assert (
            replace(scorer, server=replace(scorer.server, first_pause=5)).score(
                [Asked((), (), (), "a", "a")], lambda: bool(served.bodies)
            )
            == []
        )
        assert len(served.bodies) == 1


def test_after_a_stop_no_function_is_called(functions: Path) -> None:
    assert open_function(f"{functions}:short").score(asked(), lambda: True) == []
