"""Answering a test set: ours against `transformers.generate` at batch 1 and at batch 8, in one interleaved run.

    python -m benchmarks.predict [MODEL] [--rounds N] [--threads N] [--new TOKENS] [--adapter FOLDER]

Greedy, float32, the same prompts, ends and `max_new_tokens`. Batch 1 is the seed's way; batch 8, unsorted and padded on
the left, is LLaMA-Factory's. Two sets: telecom_test_100, and one of mixed lengths made of all bundled sets. In each
round ours answers all rows, the peers every so many-th, from another one on each time: costs are compared per row.
Answers have to be equal token for token up to near-ties (two best logits closer than 1e-3), which are counted; any
other difference ends the benchmark. Ratios are medians of ratios taken side by side. Budgets: issue 4, item 4.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.engine.serve import PASSIVE_WAITS

os.environ.update(PASSIVE_WAITS)  # before torch
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers

from benchmarks.decode import default_model, timed
from benchmarks.figures import Figure, median, report
from core.chat.message import Message
from core.engine.chat_model import ChatModel
from core.engine.predicting.choose import NEAR_TIE
from core.engine.predicting.predict import predict
from core.engine.predicting.question import Question, Reply
from core.serve.protocol import Load, Sampling

DATA = Path(__file__).parent.parent / "data"
ALONE_BUDGET, EIGHT_BUDGET = 6.0, 2.3
ALONE_SHARE, EIGHT_SHARE = 10, 4
"""The peers answer a tenth and a quarter of the rows in each round."""
MIXED = (
    ("telecom_test_100", "instruction", 20),
    ("self_introduction", "context", 20),
    ("comparison_en", "instruction", 20),
    ("persona_desc", "instruction", 20),
    ("ad_copy", "content", 20),
)
Ids = tuple[int, ...]
_GenerationConfig: Any = transformers.GenerationConfig


@dataclass
class Cost:
    """Seconds per row, wall and CPU, round by round."""

    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)

    def add(self, rows: int, wall: float, cpu: float) -> None:
        self.walls.append(wall / rows)
        self.cpus.append(cpu / rows)


def texts(name: str, column: str, count: int) -> list[str]:
    """The questions of the first rows of a bundled set."""
    with (DATA / f"{name}.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in itertools.islice(file, count)]
    return [str(row[column]) + ("\n" + str(row["input"]) if row.get("input") else "") for row in rows]


def mixed() -> list[str]:
    """Rows of all sets, one after another."""
    sets = [texts(*one) for one in MIXED]
    return [text for together in itertools.zip_longest(*sets) for text in together if text is not None]


def ask(chat: ChatModel, texts: Sequence[str], new_tokens: int, adapter: str | None) -> list[Question]:
    manner, ends = chat.manner(adapter), chat.base.end_ids
    prompts = [manner.prompt([Message("user", text)], chat.base.context_length, new_tokens, None) for text in texts]
    sampling = Sampling(max_new_tokens=new_tokens)
    return [Question(n, prompt.ids, ends, sampling, adapter) for n, prompt in enumerate(prompts)]


def ours(chat: ChatModel, questions: Sequence[Question]) -> dict[int, Reply]:
    replies: dict[int, Reply] = {}
    predict(chat, questions, on_reply=lambda reply: replies.update({reply.key: reply}))
    return replies


def theirs(peer: Any, questions: Sequence[Question], batch: int) -> dict[int, Ids]:
    """transformers' answers, batch by batch in the rows' order, without padding and what follows an end."""
    found: dict[int, Ids] = {}
    for start in range(0, len(questions), batch):
        part = questions[start : start + batch]
        width = max(len(question.ids) for question in part)
        ids = torch.tensor([[0] * (width - len(one.ids)) + list(one.ids) for one in part])
        seen = torch.tensor([[0] * (width - len(one.ids)) + [1] * len(one.ids) for one in part])
        ends = set(part[0].end_ids)
        config = _GenerationConfig(
            max_new_tokens=part[0].sampling.max_new_tokens,
            do_sample=False,
            eos_token_id=sorted(ends),
            pad_token_id=min(ends),
        )
        with torch.inference_mode():
            output = peer.generate(input_ids=ids, attention_mask=seen, generation_config=config)
        for question, row in zip(part, output[:, width:].tolist(), strict=True):
            end = next((n + 1 for n, token in enumerate(row) if token in ends), len(row))
            found[question.key] = tuple(row[:end])
    return found


def differs(peer: Any, question: Question, one: Ids, other: Ids) -> bool:
    """Whether two answers part, which they may where two tokens are as good as equally likely.

    Raises:
        SystemExit: they part where they may not.
    """
    if one == other:
        return False
    at = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    with torch.inference_mode():
        logits = peer(input_ids=torch.tensor([[*question.ids, *other[:at]]]), logits_to_keep=1).logits[0, -1]
    best, second = logits.topk(2).values.tolist()
    if best - second > NEAR_TIE:
        sys.exit(f"row {question.key}: answers part at token {at}, where the best two are {best - second:.4f} apart")
    return True


def compare(name: str, chat: ChatModel, peer: Any, questions: Sequence[Question], rounds: int) -> Iterator[Figure]:
    costs = {batch: Cost() for batch in (0, 1, 8)}
    compared = parted = ties = 0
    for turn in range(rounds):
        replies, wall, cpu = timed(ours, chat, questions)
        costs[0].add(len(questions), wall, cpu)
        ties = sum(reply.near_ties > 0 for reply in replies.values())
        for batch, share in ((1, ALONE_SHARE), (8, EIGHT_SHARE)):
            asked = questions[turn % share :: share]
            answers, wall, cpu = timed(theirs, peer, asked, batch)
            costs[batch].add(len(asked), wall, cpu)
            compared += len(asked)
            parted += sum(differs(peer, questions[key], replies[key].ids, ids) for key, ids in answers.items())
    own = costs[0]
    yield Figure(f"{name}: {len(questions)} rows", 1 / median(own.walls), "rows/s")
    yield Figure(f"{name}: CPU a row", median(own.cpus), "s")
    for batch, budget in ((1, ALONE_BUDGET), (8, EIGHT_BUDGET)):
        cost, what = costs[batch], f"{name}: against generate at batch {batch}"
        walls, cpus = (zip(*pair, strict=True) for pair in ((cost.walls, own.walls), (cost.cpus, own.cpus)))
        yield Figure(f"{what}, wall", median(a / b for a, b in walls), "×", budget, at_least=True)
        yield Figure(f"{what}, CPU", median(a / b for a, b in cpus), "×", budget, at_least=True)
    yield Figure(f"{name}: answers that part at a near-tie, of {compared}", parted, "")
    yield Figure(f"{name}: answers with a near-tie somewhere, of {len(questions)}", ties, "")


def figures(options: argparse.Namespace) -> Iterator[Figure]:
    folder = options.model or default_model()
    request = Load(1, str(folder), dtype="float32", device="cpu", threads=options.threads)
    chat = ChatModel.load(request, lambda _: None)
    loader: Any = transformers.AutoModelForCausalLM
    peer = loader.from_pretrained(folder, dtype=torch.float32).eval()
    adapter = None
    if options.adapter is not None:
        import peft  # 0.3 s, for one option

        adapter = "adapter"
        chat.load_adapter(adapter, options.adapter)
        peer = peft.PeftModel.from_pretrained(peer, str(options.adapter)).eval()
    sets = {"telecom_test_100": texts("telecom_test_100", "instruction", 100), "mixed lengths": mixed()}
    theirs(peer, ask(chat, sets["mixed lengths"][:2], 4, adapter), 2)  # warm
    for name in options.sets.split(",") if options.sets else sets:
        yield from compare(name, chat, peer, ask(chat, sets[name], options.new, adapter), options.rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--new", type=int, default=32, help="max_new_tokens")
    parser.add_argument("--adapter", type=Path, help="a LoRA adapter that answers instead of the base")
    parser.add_argument("--sets", help="telecom_test_100, mixed lengths")
    report(figures(parser.parse_args()))


if __name__ == "__main__":
    main()
