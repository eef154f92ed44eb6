"""`finetui chat` without a person: texts, pipes, lines and records, answered by a scripted worker."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.chat.message import Usage
from core.chat.store import SessionStore
from core.config.generation import GenerationOptions
from core.errors import SessionError
from fakes import fake_worker_command
from folders import make_adapter, make_model
from hostile import CORPUS
from tui.__main__ import main
from tui.cli.answering import Answer, sampling_for
from tui.cli.history import History
from tui.cli.told import finish_mark, gone_line, use_time


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_model(tmp_path / "models" / "tiny")
    make_adapter(tmp_path / "runs" / "sft", "tiny")
    make_adapter(tmp_path / "runs" / "other", "tiny", layers=3)
    monkeypatch.setenv("FINETUI_WORKSPACE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    worker(monkeypatch)
    return tmp_path


def worker(monkeypatch: pytest.MonkeyPatch, **behaviour: Any) -> None:
    command = fake_worker_command(**{"record": "requests.jsonl", **behaviour})
    monkeypatch.setenv("FINETUI_WORKER_COMMAND", json.dumps(command))


def pipe(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


def requests(kind: str) -> list[dict[str, Any]]:
    records = map(json.loads, Path("requests.jsonl").read_text().splitlines())
    return [record for record in records if record["type"] == kind]


def asked() -> list[list[str]]:
    return [[message["content"] for message in record["rows"][0]["messages"]] for record in requests("generate")]


def chat(*words: str) -> int:
    return main(["chat", "--model_name_or_path", "tiny", *words])


# --- one answer -------------------------------------------------------------------------------------------------


def test_a_prompt_is_answered_on_stdout_and_the_rest_told_on_stderr(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chat("--prompt", "What is the capital of France?") == 0
    out, err = capsys.readouterr()
    assert out == "The capital of France is Paris.\n"
    lines = err.splitlines()
    assert lines[:4] == ["starting…", "importing…", "reading…", "loading…"]
    assert lines[4].startswith("ready in 0.") or lines[4].startswith("ready in ")
    assert lines[5].startswith("> use time: 0.")
    assert lines[5].endswith(" tokens/s")
    assert ", 6 tokens, " in lines[5]


def test_piped_text_is_one_question(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, b"one\n\ntwo\n")
    assert chat() == 0
    assert asked() == [["one\n\ntwo"]]


def test_options_reach_the_worker(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("c.yaml").write_text("temperature: 0.25\ntop_k: 7\nstop: [a, b]\ndtype: float32\ntemplate: chatml\n")
    options = ["--adapter", "sft", "--seed=5", "--threads", "2", "--system", "Be brief.", "--enable_thinking", "False"]
    assert chat("c.yaml", *options, "--finetuning_type", "lora", "--prompt", "hi") == 0
    (load,), (adapter,), (generate,) = requests("load"), requests("load_adapter"), requests("generate")
    assert load["model"] == str(workspace / "models" / "tiny")
    assert (load["dtype"], load["template"], load["threads"]) == ("float32", "chatml", 2)
    assert (adapter["name"], adapter["path"]) == ("sft", str(workspace / "runs" / "sft"))
    assert (generate["rows"][0]["adapter"], generate["enable_thinking"]) == ("sft", False)
    sampling = generate["sampling"]
    assert (sampling["temperature"], sampling["top_k"], sampling["seed"]) == (0.25, 7, 5)
    assert (sampling["top_p"], sampling["stop"]) == (0.9, ["a", "b"])
    assert asked() == [["Be brief.", "hi"]]


def test_without_a_question_nothing_is_loaded(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe(monkeypatch, b" \n")
    assert chat() == 2
    assert capsys.readouterr().err.startswith("error: there is no question\nhint: give one with --prompt")
    assert chat("--prompt", " ") == 2
    assert not Path("requests.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--model", "tinny"], "error: no model tinny\nhint: did you mean 'tiny'?"),
        (["--adapter", "sfd"], "error: no adapter sfd\nhint: did you mean 'sft'?"),
        (["--adapter", "other"], "error: the adapter other does not fit tiny"),
        (
            ["--adapter", "sft", "--finetuning_type=p_tuning"],
            "error: --finetuning_type is p_tuning, but sft was trained with lora",
        ),
        (["--session", "last"], "error: there is no conversation to go on with\nhint: --save keeps one in"),
        (["--session", "nope"], "error: "),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_loaded(
    workspace: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert chat("--prompt", "hi", *words) == 2
    assert capsys.readouterr().err.startswith(told)
    assert not Path("requests.jsonl").exists()


@pytest.mark.parametrize("place", ["hello", "import", "load", "prefill", "decode"])
def test_a_worker_that_dies_is_an_error_not_a_wait(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    worker(monkeypatch, crash_at=place)
    assert chat("--prompt", "hi") == 2
    assert "error: the model's process was killed by signal 9: most likely out of memory" in capsys.readouterr().err


def test_the_answer_is_cut_and_marked_at_max_new_tokens(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert chat("--prompt", "hi", "--max_new_tokens", "2") == 0
    out, err = capsys.readouterr()
    assert out == "The capital\n"
    assert "[cut after 2 tokens; --max_new_tokens allows more]" in err


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_hostile_answers_are_shown_not_obeyed(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    worker(monkeypatch, answers=list(CORPUS.values()))
    pipe(monkeypatch, b"hi\n" * len(CORPUS))
    assert chat("--lines", "--max_new_tokens", "100000", *options) == 0
    out = capsys.readouterr().out
    assert [character for character in set(out) if character < " " and character not in "\n\t"] == []
    assert set(out).isdisjoint("\x7f\x9b\x9d\u202e\u200b\ufeff\udc80\U000e0001")
    if options:
        assert [json.loads(line)["content"] for line in out.splitlines()] == list(CORPUS.values())
    else:
        assert "␛[31mred␛[0m" in out
        assert "[red]red[/red]" in out


# --- lines and records ------------------------------------------------------------------------------------------


def test_each_line_is_a_question_of_its_own(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worker(monkeypatch, answers=["A: {question}"])
    pipe(monkeypatch, "one\n\n  \nstop\r\n你好\ncaf\xe9".encode("latin-1", "ignore") + b"\xe9\n")
    assert chat("--lines") == 0
    assert asked() == [["one"], ["stop"], ["caf\ufffd\ufffd"]]
    assert capsys.readouterr().out == "A: one\nA: stop\nA: caf\ufffd\ufffd\n"


def test_lines_of_one_conversation_obey_clear_and_stop(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker(monkeypatch, answers=["A: {question}"])
    pipe(monkeypatch, b"one\ntwo\nclear\nthree\nstop\nfour\n")
    assert chat("--lines", "--mode", "multi") == 0
    assert asked() == [["one"], ["one", "A: one", "two"], ["three"]]


def test_turns_that_left_the_context_are_named(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worker(monkeypatch, dropped=[0, 1, 99])
    pipe(monkeypatch, b"one\ntwo\n")
    assert chat("--lines", "--mode", "multi") == 0
    assert capsys.readouterr().err.count("[the context is full; no longer seen: “one”]") == 1


def test_machines_get_an_object_for_each_answer(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worker(monkeypatch, answers=["你好 {question}"])
    pipe(monkeypatch, b"a\nb\n")
    assert chat("--lines", "--json", "--adapter", "sft", "--seed", "3") == 0
    records = list(map(json.loads, capsys.readouterr().out.splitlines()))
    assert [(record["prompt"], record["content"]) for record in records] == [("a", "你好 a"), ("b", "你好 b")]
    first = records[0]
    assert (first["finish_reason"], first["model"], first["adapter"], first["seed"]) == ("stop", "tiny", "sft", 3)
    assert first["dropped"] == []
    assert first["usage"]["answer_tokens"] == 2
    assert set(first["usage"]) >= {"prompt_tokens", "context_left", "first_token_seconds", "tokens_per_second"}


def test_a_line_that_gets_no_answer_is_told_and_the_others_are_answered(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worker(monkeypatch, fail={"prefill": ["out_of_memory", "out of memory", "a shorter one"]})
    pipe(monkeypatch, b"a\nb\n")
    assert chat("--lines", "--json") == 2
    out, err = capsys.readouterr()
    assert list(map(json.loads, out.splitlines())) == [
        {"prompt": prompt, "error": "out of memory", "hint": "a shorter one"} for prompt in "ab"
    ]
    assert err.count("error: out of memory\nhint: a shorter one") == 2


def test_the_options_can_be_shown_instead(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert chat("--show_config", "--top_p", "0.5") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "top_p: 0.5  # --top_p" in lines
    assert "model_name_or_path: tiny  # --model_name_or_path" in lines
    assert [line for line in lines if line.startswith(("show_config", "prompt"))] == []
    assert not Path("requests.jsonl").exists()


# --- conversations that are kept --------------------------------------------------------------------------------


def test_a_kept_conversation_is_gone_on_with(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker(monkeypatch, answers=["A: {question}"])
    assert chat("--prompt", "one", "--save", "--system", "Be brief.", "--adapter", "sft") == 0
    assert chat("--prompt", "two", "--session", "last") == 0
    store = SessionStore(workspace / "sessions")
    (summary,) = store.list()
    assert chat("--prompt", "three", "--session", summary.path.name) == 0
    assert asked()[-1] == ["Be brief.", "one", "A: one", "two", "A: two", "three"]
    conversation = store.open(summary.path)
    assert [turn.content for turn in conversation.line()] == ["one", "A: one", "two", "A: two", "three", "A: three"]
    assert [turn.adapter for turn in conversation.line()[1::2]] == ["sft", "", ""]
    assert conversation.line()[1].finish_reason == "stop"
    assert conversation.columns[0].model == "tiny"


def test_a_question_without_an_answer_leaves_the_line_of_a_kept_conversation(tmp_path: Path) -> None:
    kept = SessionStore(tmp_path).create()
    history = History("", multi=True, kept=kept)
    history.ask("one")
    history.take(answer("A"), "tiny", None)
    history.ask("two")
    history.drop()
    assert [message.content for message in history.ask("three")] == ["one", "A", "three"]
    history.take(answer(""), "tiny", None)
    assert [turn.content for turn in kept.line()] == ["one", "A"]
    history.clear()
    assert [message.content for message in history.ask("four")] == ["four"]
    assert [turn.content for turn in kept.line()] == ["four"]


# --- what is said beside an answer ------------------------------------------------------------------------------


def answer(content: str = "x", reason: Any = "stop", left: int = 9, dropped: tuple[int, ...] = ()) -> Answer:
    return Answer(content, reason, Usage(5, 0, 3, left, 0.5, 2.5), 1, dropped)


@pytest.mark.parametrize(
    ("told", "mark"),
    [
        (answer(), ""),
        (answer(reason="stopped"), "[stopped; the part above is kept]"),
        (answer("", "stopped"), "[stopped]"),
        (answer(reason="length"), "[cut after 3 tokens; --max_new_tokens allows more]"),
        (answer(reason="length", left=0), "[cut: the context is full; clear makes room]"),
        (answer(reason="error"), "[ended by an error]"),
    ],
)
def test_how_an_answer_ended_is_said_truly(told: Answer, mark: str) -> None:
    assert finish_mark(told) == mark


def test_the_time_is_told_as_people_know_it() -> None:
    assert use_time(answer()) == "> use time: 2.50s, 3 tokens, 1.0 tokens/s"
    one = Answer("x", "stop", Usage(5, 0, 1, 9, 0.5, 0.5), 1, ())
    assert use_time(one) == "> use time: 0.50s, 1 token"


def test_turns_that_leave_the_context_are_told_once() -> None:
    history = History("System.", multi=True)
    for question in ("one\x1b", "two"):
        history.ask(question)
        history.take(answer("A"), "tiny", None)
    asked = history.ask("three")
    assert gone_line(history.newly_gone(asked, answer(dropped=(1, 2)))) == (
        "[the context is full; no longer seen: “one␛”]"
    )
    assert gone_line(history.newly_gone(asked, answer(dropped=(1, 2, 3, 4)))) == (
        "[the context is full; no longer seen: “two”]"
    )
    assert gone_line(history.newly_gone(asked, answer(dropped=(1, 2)))) == ""
    assert gone_line([str(number) for number in range(7)]).endswith("“4” and 2 more]")


@pytest.mark.parametrize("make", [GenerationOptions, lambda: GenerationOptions(temperature=0)])
def test_seed_0_draws_a_new_seed_for_each_answer(make: Callable[[], GenerationOptions]) -> None:
    seeds = {sampling_for(make()).seed for _ in range(4)}
    assert len(seeds) == 4
    assert 0 not in seeds
    assert sampling_for(GenerationOptions(seed=9)).seed == 9


@pytest.mark.slow
def test_the_default_model_knows_paris_and_reuses_what_it_read(
    default_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FINETUI_WORKSPACE", str(tmp_path))
    pipe(monkeypatch, b"What is the capital of France?\nAnd of Italy?\n")
    options = ["--lines", "--mode", "multi", "--json", "--temperature", "0", "--max_new_tokens", "12"]
    assert main(["chat", "--model_name_or_path", str(default_model), *options]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert "Paris" in first["content"]
    assert second["usage"]["reused_tokens"] >= first["usage"]["prompt_tokens"]


def test_a_file_that_takes_no_answer_costs_none(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_arguments: object) -> None:
        raise SessionError("no space left", "free some")

    monkeypatch.setattr(History, "take", full)
    assert chat("--prompt", "hi", "--json") == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["content"] == "The capital of France is Paris."
    assert err.endswith("error: no space left\nhint: free some\n")


@pytest.mark.parametrize("name", ["~nobody-of-that-name/talk", "x" * 5000, "talk"])
def test_a_session_that_is_not_there_is_an_error_of_the_user(
    workspace: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert chat("--prompt", "hi", "--session", name) == 2
    assert "cannot be read" in capsys.readouterr().err
