"""Asking a server that is slow, fails, sends garbage, breaks off or is not there: bounded tries, nothing lost."""

from __future__ import annotations

import json
import threading
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from core.chat.message import Message
from core.errors import ServerError, ServerUnreachable
from core.serve.protocol import Sampling
from core.serve.remote import Asking, RemoteQuestion, RemoteReply, ServedModel, ask_all, resolved, served_models
from core.serve.remote_address import Server
from core.serve.remote_stream import Part
from served import ServedFake, Turn, free_port_base
from waiting import PATIENCE

GREEDY = Sampling(max_new_tokens=64)


def question(text: str, sampling: Sampling = GREEDY, **more: Any) -> RemoteQuestion:
    return RemoteQuestion(text, (Message("user", text),), sampling, **more)


def server(fake: ServedFake, **changes: Any) -> Server:
    return replace(Server(fake.api_base, "echo", first_pause=0.005, retries=2, timeout=PATIENCE), **changes)


def replies(asked: Server, texts: Sequence[str]) -> dict[str, RemoteReply]:
    got: list[RemoteReply] = []
    ask_all(asked, map(question, texts), on_reply=got.append)
    assert len({reply.key for reply in got}) == len(got), "a question was answered twice"
    return {reply.key: reply for reply in got}


def one(fake: ServedFake, text: str = "hi", **changes: Any) -> RemoteReply:
    return replies(server(fake, **changes), [text])[text]


# --- answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [False, True])
def test_an_answer_comes_with_its_thinking_reason_and_tokens(whole: bool) -> None:
    turn = Turn(text="It is  Paris.\n", thinking="Let me see.", finish_reason="length", whole=whole)
    with ServedFake(always=turn) as fake:
        reply = one(fake, "the capital of France")
    assert reply == RemoteReply(
        "the capital of France", "It is  Paris.\n", "Let me see.", "length", prompt_tokens=4, answer_tokens=3, tries=1
    )


def test_a_request_says_what_was_asked_for_and_no_more() -> None:
    sampling = Sampling(
        0.5, top_p=0.9, top_k=3, min_p=0.1, repetition_penalty=1.2, seed=7, max_new_tokens=9, stop=("#",)
    )
    with ServedFake() as fake:
        got: list[RemoteReply] = []
        said = (
            Message("system", "Be brief."),
            Message("assistant", "<think>\nhm\n</think>\n\nYes."),
            Message("user", "q"),
        )
        ask_all(server(fake), [RemoteQuestion(1, said, sampling, False), question("r")], on_reply=got.append)
        sent = {len(request["body"]["messages"]): request["body"] for request in fake.requests}
    assert sent[3] == {
        "model": "echo",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "q"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "min_p": 0.1,
        "repetition_penalty": 1.2,
        "seed": 7,
        "max_tokens": 9,
        "stop": ["#"],
        "chat_template_kwargs": {"enable_thinking": False},
    }
    assert sent[1].keys() == {"model", "messages", "stream", "stream_options", "temperature", "seed", "max_tokens"}


def test_so_many_are_asked_at_once_and_each_is_answered_once() -> None:
    texts = [f"question {number}" for number in range(30)]
    with ServedFake(always=Turn(delay=0.02)) as fake:
        got = replies(server(fake, concurrency=5), texts)
        assert fake.most_at_once == 5
        assert len(fake.requests) == 30
    assert {key: reply.text for key, reply in got.items()} == {text: f"you said: {text}" for text in texts}


def test_a_stream_without_a_last_word_but_with_a_reason_is_whole() -> None:
    with ServedFake(always=Turn(ends="no_done")) as fake:
        assert one(fake).text == "you said: hi"


def test_a_strict_server_is_asked_in_its_own_words() -> None:
    refused = [
        Turn(status=400, body=json.dumps({"error": {"message": said}}).encode())
        for said in (
            "Unknown parameter: 'stream_options'",
            "'max_tokens' is not supported, use 'max_completion_tokens'",
        )
    ]
    with ServedFake(turns={"hi": refused}) as fake:
        reply = one(fake, retries=0)
        assert reply.text == "you said: hi"
        last = fake.requests[-1]["body"]
    assert last["max_completion_tokens"] == 64
    assert "max_tokens" not in last
    assert "stream_options" not in last


# --- trouble that passes ----------------------------------------------------------------------------------------

BROKEN = {
    "500": Turn(status=500),
    "503": Turn(status=503),
    "429": Turn(status=429, headers={"Retry-After": "0.01"}),
    "408": Turn(status=408),
    "closed in mid-stream": Turn(text="a b c d e f", ends="mid_stream"),
    "half JSON": Turn(body=b'{"choices": [{"message": {"content": "ha', content_type="application/json"),
    "nothing": Turn(body=b""),
    "an event that is no JSON": Turn(body=b'data: {"choices": [{"delta": {"content": "a"}}]}\n\ndata: {no\n\n'),
    "an error in mid-stream": Turn(
        body=b'data: {"choices": [{"delta": {"content": "a"}}]}\n\ndata: {"error": {"message": "lost a GPU"}}\n\n'
    ),
    "given up": Turn(finish_reason="abort"),
    "neither reason nor end": Turn(body=b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'),
}


@pytest.mark.parametrize("turn", BROKEN.values(), ids=BROKEN)
def test_what_breaks_is_asked_again_and_no_part_of_it_is_kept(turn: Turn) -> None:
    with ServedFake(turns={"hi": [turn, turn]}) as fake:
        reply = one(fake)
    assert (reply.text, reply.tries, reply.error) == ("you said: hi", 3, "")


@pytest.mark.parametrize("turn", BROKEN.values(), ids=BROKEN)
def test_what_stays_broken_is_an_error_after_a_bounded_number_of_tries(turn: Turn) -> None:
    with ServedFake(turns={"bad": [turn] * 9}) as fake:
        got = replies(server(fake), ["bad", "good"])
        assert fake.asked("bad") == 3
    assert got["good"].text == "you said: good"
    assert got["bad"].error
    assert (got["bad"].text, got["bad"].finish_reason, got["bad"].tries) == ("", None, 3)


def test_a_silent_server_is_given_up() -> None:
    tries = 6  # so many that one which is only slow is answered in the end
    turns = {"mute": [Turn(ends="silent")] * tries, "ticking": [Turn(ends="keepalive")] * tries}
    with ServedFake(turns=turns) as fake:
        got = replies(server(fake, timeout=0.1, retries=tries - 1), ["mute", "ticking", "fine"])
    assert got["fine"].text == "you said: fine"
    assert "said nothing for 0.1 s: api_timeout" in got["mute"].error
    assert "said nothing for 0.1 s" in got["ticking"].error, "comments are no answer"


def test_an_answer_without_end_does_not_fill_the_memory() -> None:
    with ServedFake(always=Turn(ends="endless")) as fake:
        tracemalloc.start()
        reply = one(fake)
        _now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert "does not end" in reply.error
    assert reply.tries == 1
    assert peak < 16 << 20


@pytest.mark.parametrize(
    "body", [b"data: " + b"x" * (8 << 20), b'{"choices": "' + b"x" * (8 << 20)], ids=["a line", "a body"]
)
def test_a_line_without_end_is_not_read_to_it(body: bytes) -> None:
    with ServedFake(always=Turn(body=body)) as fake:
        assert "does not end" in one(fake).error


# --- trouble that lasts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        (Turn(status=400), "answered with status 400: the fake says 400"),
        (Turn(status=403), "answered with status 403: the fake says 403"),
        (Turn(status=422, body=b'{"detail": [{"loc": ["top_k"], "msg": "not allowed"}]}'), "status 422: not allowed"),
        (Turn(body=b"<html><body>Welcome to nginx", content_type="text/html"), "something that is no answer: <html>"),
        (Turn(body=b'{"choices": []}', content_type="application/json"), "holds no answer (no choices)"),
        (Turn(body=b"[1, 2]", content_type="application/json"), "something that is no answer: [1, 2]"),
        (Turn(body=b"data: " + b"[" * 100_000), "something that is no answer"),
        (Turn(finish_reason="content_filter"), "content filter withheld"),
        (Turn(body=b'data: {"error": {"message": "prompt is too long", "code": 400}}\n\n'), "prompt is too long"),
    ],
)
def test_what_cannot_change_is_the_rows_error(turn: Turn, said: str) -> None:
    with ServedFake(turns={"bad": [turn] * 9}) as fake:
        got = replies(server(fake), ["bad", "good"])
        assert fake.asked("bad") in (1, 3)
    assert got["good"].text == "you said: good"
    assert said in got["bad"].error


@pytest.mark.parametrize(
    ("turn", "said", "hint"),
    [
        (Turn(status=401), "status 401", "it wants a key: put it into OPENAI_API_KEY"),
        (Turn(status=404), "status 404", "api_base usually ends in /v1"),
        (
            Turn(status=308, headers={"Location": "http://elsewhere/v1/chat"}),
            "308",
            "http://elsewhere/v1/chat: give that",
        ),
    ],
)
def test_what_concerns_everybody_ends_the_asking(turn: Turn, said: str, hint: str) -> None:
    with ServedFake(always=turn) as fake:
        with pytest.raises(ServerError, match=said) as caught:
            replies(server(fake, concurrency=2), [str(number) for number in range(50)])
        assert len(fake.requests) <= 4
    assert hint in caught.value.hint


def test_without_a_server_nobody_is_marked_as_failed() -> None:
    got: list[RemoteReply] = []
    lost = Server(free_port_base(), "echo", concurrency=2, retries=1, first_pause=0.001)
    with pytest.raises(ServerUnreachable, match="cannot be reached: Connection refused"):
        ask_all(lost, (question(str(number)) for number in range(50)), on_reply=got.append)
    assert got == []


# --- stopping ---------------------------------------------------------------------------------------------------


def test_a_stop_hangs_up_and_what_was_under_way_has_no_reply() -> None:
    got: list[RemoteReply] = []
    with ServedFake(
        turns={"slow": [Turn(delay=PATIENCE)], "paused": [Turn(status=429, headers={"Retry-After": f"{PATIENCE:.0f}"})]}
    ) as fake:
        began = time.monotonic()
        texts = ["slow", "paused", "quick"]
        ask_all(server(fake), map(question, texts), on_reply=got.append, is_stopped=lambda: len(got) == 1)
        assert time.monotonic() - began < PATIENCE / 2
    assert [reply.key for reply in got] == ["quick"]


def test_an_error_of_the_caller_ends_the_asking() -> None:
    def full_disk(reply: RemoteReply) -> None:
        raise OSError("no space left")

    def broken() -> Iterator[RemoteQuestion]:
        yield question("hi")
        raise ValueError("no such row")

    with ServedFake(turns={"slow": [Turn(delay=20)]}) as fake:
        with pytest.raises(OSError, match="no space left"):
            ask_all(server(fake), [question("hi"), question("slow")], on_reply=full_disk)
        with pytest.raises(ValueError, match="no such row"):
            ask_all(server(fake), broken(), on_reply=lambda reply: None)


def test_a_stream_hands_parts_on_and_is_tried_again_only_before_the_first() -> None:
    with ServedFake(turns={"hi": [Turn(status=500), Turn(text="a b c d", ends="mid_stream")]}) as fake:
        asking = Asking(server(fake), question("hi"))
        stream = asking.stream()
        assert [next(stream), next(stream)] == [Part("a"), Part(" b")]
        with pytest.raises(ServerError, match="broke the answer off"):
            next(stream)
        assert asking.tries == 2


def test_hanging_up_from_another_thread_ends_a_stream() -> None:
    with ServedFake(always=Turn(text="a b c", ends="silent")) as fake:
        asking = Asking(server(fake), question("hi"))
        stream = asking.stream()
        assert next(stream) == Part("a")
        threading.Timer(0.05, asking.abort).start()
        with pytest.raises(ServerError):
            list(stream)
        assert asking.tries == 1


# --- which model ------------------------------------------------------------------------------------------------


def test_a_servers_models_are_listed_with_their_context() -> None:
    models = [{"id": "qwen", "max_model_len": 32768}, {"id": "llama3:8b"}, {"id": "bad\x1b[31m"}]
    with ServedFake(models=models) as fake:
        assert served_models(server(fake)) == [ServedModel("qwen", 32768), ServedModel("llama3:8b", 0)]


def test_the_only_model_needs_no_name_and_a_wrong_name_is_told_the_nearest() -> None:
    with ServedFake() as fake:
        assert resolved(server(fake, model="")) == (server(fake), ServedModel("echo", 4096))
        with pytest.raises(ServerError, match="has no model ecko") as caught:
            resolved(server(fake, model="ecko"))
        assert caught.value.hint == "did you mean 'echo'? it has: echo"
    with ServedFake(models=[{"id": "a"}, {"id": "b"}]) as fake, pytest.raises(ServerError, match="serves 2") as caught:
        resolved(server(fake, model=""))
    assert caught.value.hint == "it has: a, b; name one with api_model"


@pytest.mark.parametrize("models", [[], [{"name": "x"}]])
def test_a_server_without_a_list_is_believed_to_have_the_model(models: list[dict[str, str]]) -> None:
    with ServedFake(models=models) as fake:
        assert resolved(server(fake))[1] == ServedModel("echo", 0)
        with pytest.raises(ServerError):
            resolved(server(fake, model=""))
