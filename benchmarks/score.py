"""Scoring against the libraries as LLaMA-Factory calls them: short answers and answers of 1,000 words, interleaved.

    python -m benchmarks.score [--rows 10000] [--long 6]

Both sides compute BLEU-4 and ROUGE-1/2/L of the same rows, alternately, a block at a time, each row once; the texts are
Chinese, since words are what costs. Then `finetui score` as a command against a script of the libraries.
Budgets: issue 4, §2.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jieba
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from rouge_chinese import Rouge

from benchmarks.figures import Figure, median, report
from core.metrics.catalog import find_metrics
from core.metrics.columns import score_rows
from core.metrics.metric import Measuring, Pair

_DATA = Path(__file__).parent.parent / "data"
_METRICS = find_metrics(["bleu-4", "rouge-1", "rouge-2", "rouge-l"])
_BLOCK = 500
_WORDS = 1000
_ROUNDS = 3
_SCRIPT = """
import json, sys
from core.metrics.metric import Pair
from benchmarks.score import theirs
rows = [json.loads(line) for line in open(sys.argv[1])]
scores = theirs([Pair(row["predict"], row["label"]) for row in rows])
print([sum(round(value, 4) for value in column) / len(column) for column in zip(*scores)])
"""


def theirs(pairs: Sequence[Pair]) -> list[list[float]]:
    """LLaMA-Factory 0.9.5's `ComputeSimilarity`, as far as rows go."""
    scores = []
    for pair in pairs:
        said, held = list(jieba.cut(pair.predict)), list(jieba.cut(pair.label))
        found = Rouge().get_scores(" ".join(said), " ".join(held))[0]
        smooth = SmoothingFunction().method3
        bleu = sentence_bleu([list(pair.label)], list(pair.predict), smoothing_function=smooth)
        scores.append(
            [100 * value for value in (bleu, *(found[name]["f"] for name in ("rouge-1", "rouge-2", "rouge-l")))]
        )
    return scores


def ours(pairs: Sequence[Pair]) -> list[list[float | None]]:
    columns = score_rows(pairs, _METRICS, Measuring())
    return [list(row) for row in zip(*columns.values(), strict=True)]


def short_pairs(count: int) -> list[Pair]:
    """Telecom answers, each with a number of its own; half of the predictions are another row's."""
    draw = random.Random(0)
    rows = (_DATA / "telecom_train_5000.jsonl").read_text(encoding="utf-8").splitlines()
    labels = [json.loads(row)["output"] for row in rows]
    pairs = []
    for number in range(count):
        label = f"{draw.choice(labels)}{number}"
        pairs.append(Pair(label if draw.random() < 0.5 else f"{draw.choice(labels)}{number}", label))
    return pairs


def long_pairs(count: int) -> list[Pair]:
    """Answers of 1,000 of jieba's words; a third of the prediction's are other ones."""
    draw = random.Random(1)
    known = [word for word in jieba.cut("".join(pair.label for pair in short_pairs(2000))) if len(word) > 1]
    pairs = []
    for _number in range(count):
        label = draw.choices(known, k=_WORDS)
        pairs.append(
            Pair(" ".join(word if draw.random() < 0.67 else draw.choice(known) for word in label), " ".join(label))
        )
    return pairs


def measure(rows: int, long: int) -> Iterator[Figure]:
    """The figures, one after the other."""
    short = short_pairs(rows)
    ours(short[:1]), theirs(short[:1])  # both have read the dictionary
    mine, peers = _interleaved([short[at : at + _BLOCK] for at in range(0, rows, _BLOCK)])
    yield Figure("short rows, the libraries: CPU a row", 1000 * median(peers), "ms")
    yield Figure("short rows, ours: CPU a row", 1000 * median(mine), "ms")
    ratio = median(their / our for their, our in zip(peers, mine, strict=True))
    yield Figure("short rows: times the libraries' rows/s", ratio, "×", 1, at_least=True)
    mine, peers = _interleaved([[pair] for pair in long_pairs(long)])
    yield Figure("1,000 words, the libraries: CPU a row", median(peers), "s")
    yield Figure("1,000 words, ours: CPU a row", median(mine), "s")
    ratio = median(their / our for their, our in zip(peers, mine, strict=True))
    yield Figure("1,000 words: times the libraries' rows/s", ratio, "×", 20, at_least=True)
    one = long_pairs(1)
    yield Figure("1,000 words, the libraries: memory a row", _memory(theirs, one), "MB")
    yield Figure("1,000 words, ours: memory a row", _memory(ours, one), "MB")
    yield from _commands(short)


def _interleaved(blocks: Sequence[Sequence[Pair]]) -> tuple[list[float], list[float]]:
    """CPU seconds a row of each block, ours and theirs; the results have to be equal."""
    mine, peers = [], []
    for block in blocks:
        began = time.process_time()
        ours_said = ours(block)
        between = time.process_time()
        theirs_said = theirs(block)
        peers.append((time.process_time() - between) / len(block))
        mine.append((between - began) / len(block))
        assert ours_said == theirs_said
    return mine, peers


def _memory(score: Callable[[Sequence[Pair]], object], pairs: Sequence[Pair]) -> float:
    """The most that it held at once."""
    tracemalloc.start()
    score(pairs)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return held / 1e6


def _commands(pairs: Sequence[Pair]) -> Iterator[Figure]:
    """Whole processes on a file, imports and the dictionary included; ours computes intervals besides."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "predictions.jsonl"
        path.write_text("".join(json.dumps({"label": pair.label, "predict": pair.predict}) + "\n" for pair in pairs))
        score = ["-m", "tui", "--workspace", name, "score", str(path)]
        words = {
            "a script of the libraries": ["-c", _SCRIPT, str(path)],
            "`finetui score`, the same and exact match": [
                *score,
                "--metrics",
                "exact_match,bleu-4,rouge-1,rouge-2,rouge-l",
            ],
            "`finetui score`, all that fit": score,
        }
        busy: dict[str, list[float]] = {what: [] for what in words}
        for _round in range(_ROUNDS):
            for what, command in words.items():
                busy[what].append(_busy(command, name) / len(pairs))
    for what, seconds in busy.items():
        yield Figure(f"{len(pairs):,} short rows, {what}: CPU a row", 1000 * median(seconds), "ms")
    peers, mine, _all = busy.values()
    ratio = median(our / their for our, their in zip(mine, peers, strict=True))
    yield Figure("the command's CPU against the script's", ratio, "×", 1)


def _busy(command: Sequence[str], home: str) -> float:
    before = _children()
    environment = os.environ | {"XDG_CACHE_HOME": home, "TMPDIR": home}
    subprocess.run([sys.executable, *command], check=True, capture_output=True, env=environment)
    return _children() - before


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--long", type=int, default=6)
    typed = parser.parse_args()
    jieba.setLogLevel("CRITICAL")
    report(measure(typed.rows, typed.long))


if __name__ == "__main__":
    main()
