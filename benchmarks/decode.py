"""Decoding in the worker against `transformers.generate`: one stream, float32, the same tokens, one interleaved run.

    python -m benchmarks.decode [MODEL] [--rounds N] [--threads N]

Wall and CPU times are medians of ratios taken side by side, so a busy machine disturbs both sides alike. Without a
MODEL the default one is taken, which is fetched once. Budgets: issue 2, item 5.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from core.engine.serve import PASSIVE_WAITS

os.environ.update(PASSIVE_WAITS)  # before torch
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers

from benchmarks.figures import Figure, median, report
from core.chat.message import Message
from core.engine.chat_model import ChatModel
from core.models.pull import pull
from core.serve.protocol import Finished, Generate, Load, Reply, Row, Sampling, Text, Usage
from core.workspace import Workspace

T = TypeVar("T")
NEW_TOKENS = 48
SPEED_BUDGET = 1.15
REUSE_BUDGET = 3.0
COLUMNS = 4
QUESTIONS = (
    "Explain how a bicycle stays upright.",
    "Write a short story about a lighthouse keeper.",
    "What are the main causes of the French Revolution?",
)


def ask(model: ChatModel, messages: tuple[Message, ...], new_tokens: int, cache_key: str = "") -> tuple[str, Usage]:
    """One answer by the worker's own path, from messages to text."""
    replies: list[Reply] = []
    request = Generate(1, (Row(messages, cache_key=cache_key),), Sampling(max_new_tokens=new_tokens))
    model.generate(request, replies.append, lambda: False)
    text = "".join(reply.text for reply in replies if isinstance(reply, Text))
    return text, next(reply.usage for reply in replies if isinstance(reply, Finished))


def generate(model: ChatModel, peer: Any, messages: tuple[Message, ...]) -> str:
    """The same answer by transformers."""
    ids = torch.tensor([model.base.template.rendering(messages).ids])
    config = transformers.GenerationConfig(
        max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=sorted(model.base.end_ids), pad_token_id=0
    )
    with torch.inference_mode():
        output = peer.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)
    return model.base.tokenizer.decode(output[0, ids.shape[1] :].tolist())


def timed(work: Callable[..., T], *arguments: Any) -> tuple[T, float, float]:
    """Result, wall seconds, CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work(*arguments)
    return result, time.perf_counter() - wall, time.process_time() - cpu


def speed(model: ChatModel, peer: Any, rounds: int) -> Iterator[Figure]:
    """One stream, ours and theirs in turns."""
    walls, cpus, rates, same = [], [], [], 0
    for turn in range(rounds + 1):
        for question in QUESTIONS:
            messages = (Message("user", question),)
            (ours, usage), wall, cpu = timed(ask, model, messages, NEW_TOKENS)
            theirs, peer_wall, peer_cpu = timed(generate, model, peer, messages)
            same += ours == theirs
            if turn:  # the first round warms both up
                walls.append(peer_wall / wall)
                cpus.append(peer_cpu / cpu)
                rates.append(usage.tokens_per_second)
    yield Figure(f"decoding, {model.base.threads} thread(s), float32", median(rates), "tok/s")
    yield Figure("against transformers.generate, wall", median(walls), "×", SPEED_BUDGET, at_least=True)
    yield Figure("against transformers.generate, CPU", median(cpus), "×", SPEED_BUDGET, at_least=True)
    yield Figure("answers that are the same", 100 * same / (len(QUESTIONS) * (rounds + 1)), "%", 100, at_least=True)


def columns(model: ChatModel) -> Iterator[Figure]:
    """Compare mode: several answers in one batch."""
    rows = tuple(Row((Message("user", question),)) for question in (*QUESTIONS, QUESTIONS[0])[:COLUMNS])
    request = Generate(1, rows, Sampling(max_new_tokens=NEW_TOKENS))
    _, together, _ = timed(model.generate, request, lambda _: None, lambda: False)
    alone = sum(timed(ask, model, row.messages, NEW_TOKENS)[1] for row in rows)
    yield Figure(f"{COLUMNS} columns in one batch, against one after another", alone / together, "×")


def reuse(model: ChatModel, rounds: int) -> Iterator[Figure]:
    """First token of the third turn, with the conversation's cache and without."""
    reused, fresh = [], []
    for turn in range(rounds):
        messages: tuple[Message, ...] = ()
        for question in QUESTIONS[:2]:
            messages += (Message("user", question),)
            answer, _ = ask(model, messages, 80, f"turn {turn}")
            messages += (Message("assistant", answer),)
        messages += (Message("user", QUESTIONS[2]),)
        reused.append(ask(model, messages, 1, f"turn {turn}")[1].first_token_seconds)
        fresh.append(ask(model, messages, 1)[1].first_token_seconds)
    ratio = median(b / a for a, b in zip(reused, fresh, strict=True))
    yield Figure("first token of turn 3", 1000 * median(reused), "ms")
    yield Figure("first token of turn 3, against no cache", ratio, "×", REUSE_BUDGET, at_least=True)


def default_model() -> Path:
    """`$FINETUI_TEST_MODEL`, else the one that the tests fetch once."""
    if given := os.environ.get("FINETUI_TEST_MODEL"):
        return Path(given)
    return Path(pull("default", Workspace(Path(".cache").absolute()), lambda _: None, threading.Event()).path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    folder = options.model or default_model()
    request = Load(1, str(folder), dtype="float32", device="cpu", threads=options.threads)
    model = ChatModel.load(request, lambda _: None)
    peer = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    report(
        figure
        for figures in (speed(model, peer, options.rounds), columns(model), reuse(model, options.rounds))
        for figure in figures
    )


if __name__ == "__main__":
    main()
