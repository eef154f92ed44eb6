"""What a typed line means."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from core.errors import UsageError
from tui.actions import ACTIONS, bindings, slash_commands
from tui.screens.help import help_text
from tui.slash import Command, Values, complete, parse

ISSUE_COMMANDS = """
    model adapter base compare system set single multi retry edit clear new resume save export copy raw tokens rate
    help quit
"""


def test_every_command_of_the_issue_is_in_the_table() -> None:
    assert slash_commands().keys() >= set(ISSUE_COMMANDS.split())


def test_a_command_and_its_argument() -> None:
    found = parse("/set temperature 0.2")
    assert isinstance(found, Command)
    assert (found.action.name, found.argument) == ("set", "temperature 0.2")


@pytest.mark.parametrize(
    ("word", "name"), [("clear", "clear"), ("stop", "stop"), ("exit", "quit"), (" clear ", "clear")]
)
def test_words_typed_alone_work_as_in_the_tools_people_come_from(word: str, name: str) -> None:
    found = parse(word)
    assert isinstance(found, Command)
    assert found.action.name == name


@pytest.mark.parametrize("text", ["stop that", "Clear", "hello", "/usr/bin/env python", "/a\nb"])
def test_what_is_no_command_is_a_message(text: str) -> None:
    assert parse(text) == text


def test_two_slashes_send_one() -> None:
    assert parse("//help is a word") == "/help is a word"


def test_an_unknown_command_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        parse("/modle")
    assert caught.value.message == "no command /modle"
    assert caught.value.hint == "did you mean 'model'?"


def test_a_missing_argument_is_told() -> None:
    with pytest.raises(UsageError, match=r"/save needs TITLE"):
        parse("/save")


def test_completion_offers_what_the_text_may_become() -> None:
    assert [text for text, _help in complete("/s", {})] == [
        f"/{action.slash}" + (" " if action.argument else "") for action in ACTIONS if action.slash.startswith("s")
    ]
    assert complete("hello", {}) == []


@pytest.mark.parametrize(("typed", "other"), [("/model", "/models"), ("/set", "/settings")])
def test_a_command_typed_in_full_comes_first(typed: str, other: str) -> None:
    assert [text for text, _help in complete(typed, {})] == [f"{typed} ", other]


VALUES: Mapping[str, Values] = {
    "set": lambda: [("temperature ", "how freely"), ("top_p ", "")],
    "model": lambda: [("my model", ""), ("my", "")],
    "compare": lambda: [("base", ""), ("tuned", ""), ("tuned2", "")],
}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("/set te", ["/set temperature "]),
        ("/set ", ["/set temperature ", "/set top_p "]),
        ("/set temperature 0", []),
        ("/model ", ["/model ", "/model my model", "/model my"]),
        ("/model my", ["/model my", "/model my model"]),
        ("/compare tuned", ["/compare tuned", "/compare tuned2"]),
        ("/compare tuned ", ["/compare tuned base", "/compare tuned tuned2"]),
        ("/rate ", ["/rate good", "/rate bad", "/rate none"]),
        ("/copy c", ["/copy code"]),
        ("/copy ", ["/copy ", "/copy answer", "/copy code", "/copy all"]),
        ("/save x", []),
        ("/nothing x", []),
    ],
)
def test_arguments_are_completed_too(typed: str, offered: list[str]) -> None:
    assert [text for text, _help in complete(typed, VALUES)] == offered


def test_what_is_wanted_often_stands_first_and_the_way_out_last() -> None:
    words = list(slash_commands())
    assert words[:5] == ["new", "retry", "edit", "model", "adapter"]
    assert words[-2:] == ["help", "quit"]


def test_no_key_means_two_things_in_one_scope() -> None:
    for scope in ("app", "chat", "message"):
        keys = [key for binding in bindings(scope) for key in binding.key.split(",")]  # type: ignore[union-attr]
        assert len(keys) == len(set(keys)), scope


def test_help_tells_every_action_that_has_a_way_in() -> None:
    text = help_text(500).plain
    for action in ACTIONS:
        if action.keys or action.slash:
            assert action.help in text


def test_help_begins_with_the_screen_that_it_was_asked_on() -> None:
    usual, here = help_text(500).plain, help_text(500, ("train", "curves")).plain
    assert usual.startswith("Typing\n")
    assert here.startswith("On the Train screen\n")
    assert sorted(here.split("\n\n")) == sorted(usual.split("\n\n"))


def test_what_a_command_would_ignore_is_refused() -> None:
    with pytest.raises(UsageError, match=r"/new takes nothing behind it"):
        parse("/new What is a comet?")
