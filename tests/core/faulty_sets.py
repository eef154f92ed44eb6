"""Data sets with all that can be wrong with them, and what has to be told of it."""

from __future__ import annotations

import json
from typing import Any

GOOD = {"instruction": "q", "input": "", "output": "a"}
PAIRS = {"columns": {"prompt": "instruction", "query": "input", "response": "output", "history": "history"}}
SHAREGPT = {"formatting": "sharegpt"}
OPENAI = {"formatting": "openai"}
RANKED = {"ranking": True, "columns": {"prompt": "instruction", "chosen": "chosen", "rejected": "rejected"}}


def jsonl(*rows: object) -> bytes:
    """Rows as they are written by hand: a text stands for itself."""
    return b"".join(
        (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)).encode() + b"\n" for row in rows
    )


def said(*turns: tuple[str, object], role: str = "from", content: str = "value") -> dict[str, Any]:
    """A row of messages."""
    return {"conversations": [{role: who, content: text} for who, text in turns]}


def ranked(chosen: object, rejected: object) -> dict[str, Any]:
    return {"instruction": "q", "chosen": chosen, "rejected": rejected}


CORPUS: dict[str, tuple[dict[str, Any], bytes, list[str]]] = {
    # FIELD_NOTES §5, in its order
    "no input column": ({}, jsonl({"instruction": "q", "output": "a"}), []),
    "null answer": (
        {},
        jsonl(GOOD, {"instruction": "p", "output": None}),
        [
            "data/x.jsonl:2: the answer 'output' is null: "
            "write one, or take the row out: the model would learn to say nothing"
        ],
    ),
    "empty answer": (
        {},
        jsonl(GOOD, {"instruction": "p", "output": " \n"}),
        [
            "data/x.jsonl:2: the answer 'output' is empty: "
            "write one, or take the row out: the model would learn to say nothing"
        ],
    ),
    "empty question": (
        {},
        jsonl(GOOD, {"instruction": "", "input": " ", "output": "a"}),
        ["data/x.jsonl:2: the question is empty ('instruction', 'input'): write one, or take the row out"],
    ),
    "a number among texts": (
        {},
        jsonl(GOOD, {"instruction": "p", "output": 5}),
        ["data/x.jsonl:2: 'output' is a number, not a text: put it in quotes"],
    ),
    "broken line": (
        {},
        jsonl(GOOD, '{"instruction": "p", "output": "a"', {"instruction": "r", "output": "a"}),
        ["data/x.jsonl:2: broken JSON: Expecting ',' delimiter, at character 35: mend the line or take it out"],
    ),
    "empty file": ({}, b"", ["data/x.jsonl: the file has no rows: write rows into it, or leave it out"]),
    "GBK": (
        {},
        '{"instruction": "问题", "output": "答案"}\n'.encode("gbk"),
        [
            "data/x.jsonl: the file is in GBK, not in UTF-8: "
            "it is read all the same; other programs need: iconv -f GB18030 -t UTF-8"
        ],
    ),
    "byte order mark": (
        {},
        b"\xef\xbb\xbf" + jsonl(GOOD),
        [
            "data/x.jsonl:1: a byte order mark stands before the text: "
            "it is skipped here; save the file without it for other programs"
        ],
    ),
    "a named column is absent": (
        {"columns": {"prompt": "question", "response": "output"}},
        jsonl({"ask": "q", "output": "a"}),
        [
            "data/x.jsonl:1: there is no column 'question': "
            "the row has 'ask', 'output'; say in dataset_info.json which is the prompt",
            "x: no row can be used: look at the first problems: the columns or the format may be named wrongly",
        ],
    ),
    "columns without query": (
        {"columns": {"prompt": "instruction", "response": "output"}},
        jsonl({"instruction": "q", "input": "i", "output": "a"}, GOOD | {"instruction": "p"}),
        [
            "x: the column 'input' is not read; 1 row has something in it: "
            'name it in columns of dataset_info.json ("query": "input"), or leave it so'
        ],
    ),
    "history of three": (
        PAIRS,
        jsonl({**GOOD, "history": [["a", "b"], ["a", "b", "c"]]}, {**GOOD, "history": []}),
        ['data/x.jsonl:1: \'history\': pair 2 has 3 parts, not a question and an answer: write ["question", "answer"]'],
    ),
    "history as a text": (
        PAIRS,
        jsonl({**GOOD, "history": "a b"}, GOOD),
        ['data/x.jsonl:1: \'history\' is a text, not a list of pairs: write [["question", "answer"], …]'],
    ),
    "two users in a row": (
        SHAREGPT,
        jsonl(said(("human", "q"), ("human", "r"), ("gpt", "a")), said(("human", "q"), ("gpt", "a"))),
        ["data/x.jsonl:1: message 2: two messages of 'human' in a row: join them, or put what is missing between them"],
    ),
    "odd count": (
        SHAREGPT,
        jsonl(said(("human", "q"), ("gpt", "a"), ("human", "r")), said(("human", "q"), ("gpt", "a"))),
        [
            "data/x.jsonl:1: the last question has no answer: add the answer, or take the question out; "
            "stage ppo asks questions without answers"
        ],
    ),
    "unknown role": (
        SHAREGPT,
        jsonl(said(("human", "q"), ("bot", "a")), said(("human", "q"), ("gpt", "a"))),
        [
            "data/x.jsonl:1: message 2: the role 'bot' is not known: "
            "the roles are 'human', 'gpt', 'system'; rename it, or name it in tags"
        ],
    ),
    "no messages": (
        SHAREGPT,
        jsonl(said(), said(("human", "q"), ("gpt", "a"))),
        [
            "data/x.jsonl:1: 'conversations' has no messages: "
            'write [{"from": "human", "value": "…"}, …], or take the row out'
        ],
    ),
    "openai messages under sharegpt's tags": (
        SHAREGPT,
        jsonl(
            said(("user", "q"), ("assistant", "a"), role="role", content="content"), said(("human", "q"), ("gpt", "a"))
        ),
        [
            'data/x.jsonl:1: message 1 has no \'from\': it has "role" and "content": set "formatting": "openai"',
            'data/x.jsonl:1: message 2 has no \'from\': it has "role" and "content": set "formatting": "openai"',
        ],
    ),
    "openai unknown role": (
        {**OPENAI, "columns": {"messages": "conversations"}},
        jsonl(
            said(("user", "q"), ("bot", "a"), role="role", content="content"),
            said(("user", "q"), ("assistant", "a"), role="role", content="content"),
        ),
        [
            "data/x.jsonl:1: message 2: the role 'bot' is not known: "
            "the roles are 'user', 'assistant', 'system'; rename it, or name it in tags"
        ],
    ),
    "conversations null": (
        SHAREGPT,
        jsonl({"conversations": None}, said(("human", "q"), ("gpt", "a"))),
        [
            "data/x.jsonl:1: 'conversations' is null, not a list of messages: "
            'write [{"from": "human", "value": "…"}, …], or take the row out'
        ],
    ),
    "rejected null": (
        RANKED,
        jsonl(ranked("a", None), ranked("a", "b")),
        [
            "data/x.jsonl:1: the answer 'rejected' is null: "
            "write one, or take the row out: the model would learn to say nothing"
        ],
    ),
    "chosen is rejected": (
        RANKED,
        jsonl(ranked("a", "a"), ranked("a", "b")),
        ["data/x.jsonl:1: the better and the worse answer are the same: take the row out: there is nothing to prefer"],
    ),
    "a ranking as a list of two": ({"ranking": True}, jsonl({"instruction": "q", "output": ["better", "worse"]}), []),
    "two answers in a set of one": (
        {},
        jsonl(GOOD, {"instruction": "p", "output": ["better", "worse"]}),
        [
            "data/x.jsonl:2: 'output' holds two answers, as rankings do: "
            'set "ranking": true for this set, or keep one of them'
        ],
    ),
    "more samples than rows": (
        {"num_samples": 25},
        jsonl(*(GOOD | {"instruction": str(number)} for number in range(10))),
        ["x: num_samples is 25, but there are 10 rows: rows come several times; lower it if that is not meant"],
    ),
    "no row is usable": (
        {},
        jsonl({"instruction": "q", "output": ""}),
        [
            "data/x.jsonl:1: the answer 'output' is empty: "
            "write one, or take the row out: the model would learn to say nothing",
            "x: no row can be used: look at the first problems: the columns or the format may be named wrongly",
        ],
    ),
    # and more
    "a row that is no object": (
        {},
        jsonl(GOOD, ["q", "a"]),
        ['data/x.jsonl:2: expected an object with columns, not a list: write {"instruction": …, "output": …}'],
    ),
    "several faults in one row": (
        {},
        jsonl(GOOD, {"instruction": 1, "input": True, "output": {}}),
        [
            "data/x.jsonl:2: 'instruction' is a number, not a text: put it in quotes",
            "data/x.jsonl:2: 'input' is true or false, not a text: put it in quotes",
            "data/x.jsonl:2: 'output' is an object, not a text: write a text, or take the row out",
        ],
    ),
    "a byte that is no UTF-8": (
        {},
        jsonl({"instruction": "问", "output": "答"}, GOOD) + b'{"instruction": "\xff", "output": "a"}\n',
        ["data/x.jsonl:3: byte 0xff at position 18 is no UTF-8: write the line again, in UTF-8"],
    ),
    "half a character": (
        {},
        jsonl(GOOD, '{"instruction": "p", "output": "\\ud83d"}'),
        [
            "data/x.jsonl:2: 'output' has half a character (a lone surrogate): "
            "write the text again: no tokenizer takes it"
        ],
    ),
    "a lost character": (
        {},
        jsonl({"instruction": "caf\ufffd", "output": "a"}),
        [
            "data/x.jsonl:1: a character is lost: U+FFFD stands for it: "
            "take the text from its source again, in the right encoding"
        ],
    ),
    "mixed newlines": (
        {},
        b'{"instruction": "q", "output": "a"}\r\n{"instruction": "p", "output": "a"}\n',
        [
            "data/x.jsonl: lines end in two ways: 1 as in Windows (CRLF), 1 in a newline alone: "
            "they are read alike; convert the file with dos2unix"
        ],
    ),
    "carriage returns in a text": (
        {},
        jsonl({"instruction": "a\r\nb", "output": "a"}),
        [
            "data/x.jsonl:1: the text has carriage returns, as Windows ends lines: "
            "replace \\r\\n by \\n: the model learns them otherwise"
        ],
    ),
    "duplicates": (
        {},
        jsonl(GOOD, GOOD, "", {"instruction": "q", "output": "a"}),
        [
            "data/x.jsonl:2: the same row as data/x.jsonl:1: take one of them out, unless it is meant to weigh more",
            "data/x.jsonl:4: the same row as data/x.jsonl:1: take one of them out, unless it is meant to weigh more",
        ],
    ),
    "one question, two answers": (
        {},
        jsonl(GOOD, {"instruction": "q", "output": "b"}, {"instruction": "q", "output": "b"}),
        [
            "data/x.jsonl:2: the same question as data/x.jsonl:1, with another answer: "
            "keep the right one, unless both are",
            "data/x.jsonl:3: the same row as data/x.jsonl:2: take one of them out, unless it is meant to weigh more",
        ],
    ),
    "an empty turn": (
        SHAREGPT,
        jsonl(said(("human", ""), ("gpt", "a")), said(("human", "q"), ("gpt", "a"))),
        ["data/x.jsonl:1: message 1 of 'human' is empty: write it, or take the row out"],
    ),
    "the answer first": (
        SHAREGPT,
        jsonl(said(("gpt", "a"), ("human", "q")), said(("human", "q"), ("gpt", "a"))),
        [
            "data/x.jsonl:1: message 1: the conversation begins with 'gpt': "
            "put a question before it, or take the message out"
        ],
    ),
    "a system prompt inside": (
        SHAREGPT,
        jsonl(said(("human", "q"), ("system", "s"), ("gpt", "a")), said(("human", "q"), ("gpt", "a"))),
        ["data/x.jsonl:1: message 2: 'system' stands inside the conversation: put it first, or take the row out"],
    ),
    "a tool call": (
        SHAREGPT,
        jsonl(said(("human", "q"), ("function_call", "f")), said(("human", "q"), ("gpt", "a"))),
        [
            "data/x.jsonl:1: message 2 of 'function_call' is part of a tool call: "
            "take the row out: finetui trains on text alone"
        ],
    ),
    "a picture": (
        {"columns": {"prompt": "instruction", "response": "output", "images": "images"}},
        jsonl({"instruction": "q", "output": "a", "images": ["a.png"]}, {"instruction": "p", "output": "a"}),
        ["data/x.jsonl:1: 'images' is not empty: finetui trains on text alone: take the row out, or empty the column"],
    ),
    "a mistyped column": (
        {"columns": {"prompt": "instruction", "response": "output", "sytem": "system"}},
        jsonl({"instruction": "q", "output": "a"}),
        ["x: 'columns.sytem' in dataset_info.json means nothing: correct its name, or take it out"],
    ),
    "a column that no row has": (
        {"columns": {"prompt": "instruction", "response": "output", "system": "sys"}},
        jsonl({"instruction": "q", "output": "a"}),
        [
            "x: no row has the column 'sys', which the entry names as system: "
            "correct it in dataset_info.json, or take it out"
        ],
    ),
    "another file than that of the sum": (
        {"file_sha1": "0" * 40},
        jsonl(GOOD),
        ["x: data/x.jsonl is not the file that file_sha1 was taken of: fetch the file again, or take file_sha1 out"],
    ),
    "not closed": (
        {},
        b'[{"instruction": "q", "output": "a"},\n{"instruction": "p", "output": "a"}\n',
        ["data/x.jsonl:2: broken JSON: the array is not closed: mend the file: what follows cannot be read"],
    ),
}
