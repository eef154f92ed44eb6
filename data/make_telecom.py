"""Make the telecom sets: questions to an invented operator, each answered by the entries of its knowledge base.

    python data/make_telecom.py [FOLDER]

An answer names entries (`取消方式_68`), with the prices that were asked for (`业务简介_111|9.9|11.9|开通方式_98|…`);
so there are few answers, many ways to ask, and a right one is told from a wrong one by comparing texts. The test set
asks in wordings, or for products, that no training row has; its classes have the shares of the training set. The
smaller training sets are drawn from the large one, class by class.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from core.data.split import allocate, split_rows
from core.jsonl import dump_line

SEED = 20240328
FRAME = "以下是星桥电信手机用户的问题,{question},应该怎么回答？"
PHRASES: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("telecom_phrases.yaml").read_text())


@dataclass(frozen=True)
class Asking:
    """Wordings and products of one intent, those of the training and those that only the test has."""

    wordings: Sequence[str]
    products: Sequence[str]
    new_wordings: Sequence[str]
    new_products: Sequence[str]

    def ways(self, *, unseen: bool) -> list[tuple[Sequence[str], Sequence[str]]]:
        """Wordings and products to put together; unseen, a question has a new wording, a new product or both."""
        if not unseen:
            return [(self.wordings, self.products)]
        both = [(self.new_wordings, self.products), (self.new_wordings, self.new_products or self.products)]
        return both + ([(self.wordings, self.new_products)] if self.new_products else [])


def asking(intent: dict[str, Any]) -> Asking:
    wordings = PHRASES["wordings"].get(intent["wordings"], intent["wordings"]).splitlines()
    products = PHRASES["products"].get(intent.get("products"), "- ----").split()
    seen, known = wordings.index("----"), products.index("----")
    return Asking(wordings[:seen], products[:known], wordings[seen + 1 :], products[known + 1 :])


def questions(intent: dict[str, Any], chance: random.Random, *, unseen: bool) -> Iterator[str]:
    """Endless questions of one intent."""
    ways = asking(intent).ways(unseen=unseen)
    while True:
        wordings, products = chance.choice(ways)
        question = chance.choice(wordings).format(p=chance.choice(products))
        before = chance.choice(PHRASES["contexts"]) + chance.choice(PHRASES["openers"])
        yield before + question + chance.choice(PHRASES["closers"])


def rows(count: int, chance: random.Random, *, unseen: bool) -> list[dict[str, str]]:
    """So many rows, none twice, each intent with its share."""
    intents = PHRASES["intents"]
    made: list[dict[str, str]] = []
    weights = {number: intent["weight"] for number, intent in enumerate(intents)}
    for number, share in allocate(weights, count, room=dict.fromkeys(weights, count)).items():
        different: dict[str, None] = {}
        for question in questions(intents[number], chance, unseen=unseen):
            different[FRAME.format(question=question)] = None
            if len(different) == share:
                break
        made += [{"instruction": text, "input": "", "output": intents[number]["answer"]} for text in different]
    chance.shuffle(made)
    return made


def write(path: Path, made: Sequence[dict[str, str]]) -> None:
    path.write_bytes(b"".join(map(dump_line, made)))
    long = sum(len(row["output"]) > 10 for row in made)
    print(f"{path}: {len(made)} rows, {len({row['output'] for row in made})} answers, {long} of the rows long")


def main(folder: Path) -> None:
    chance = random.Random(SEED)
    train = rows(5000, chance, unseen=False)
    write(folder / "telecom_train_5000.jsonl", train)
    for count in (400, 100):
        drawn = split_rows([row["output"] for row in train], count, 0, stratify=True, seed=SEED)
        write(folder / f"telecom_train_{count}.jsonl", [train[row] for row in drawn.train])
    write(folder / "telecom_test_100.jsonl", rows(100, chance, unseen=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
