"""The input and the list of completions above it."""

from __future__ import annotations

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.widgets import Static

from core.untrusted import inert
from hostile import CORPUS, SHORT
from tui.widgets.completion import Complete, Completion
from tui.widgets.prompt_input import PromptInput

COMMANDS = [("/model ", "load a model"), ("/multi", "several turns"), ("/help", "what can be done"), ("/helpful", "")]


def complete(text: str) -> list[tuple[str, str]]:
    found = [command for command in COMMANDS if command[0].startswith(text)]
    return sorted(found, key=lambda command: command[0].rstrip() != text.rstrip())


class Host(App[None]):
    """An input with completions, and what it said."""

    CSS = "#above { height: 1fr; }"
    BINDINGS = [Binding("ctrl+c", "interrupt", priority=False)]  # noqa: RUF012

    def __init__(self, complete: Complete = complete) -> None:
        super().__init__()
        self.complete = complete
        self.submitted: list[str] = []
        self.scrolled: list[str] = []
        self.escaped = self.interrupted = 0

    def compose(self) -> ComposeResult:
        yield Static(id="above")
        yield Completion(self.complete)
        yield PromptInput(placeholder="say something")

    def on_mount(self) -> None:
        self.input.focus()

    @property
    def input(self) -> PromptInput:
        return self.query_one(PromptInput)

    @property
    def completion(self) -> Completion:
        return self.query_one(Completion)

    def on_text_area_changed(self) -> None:
        self.completion.renew(self.input.text)

    def on_prompt_input_submitted(self, event: PromptInput.Submitted) -> None:
        self.submitted.append(event.text)

    def on_prompt_input_escaped(self) -> None:
        self.escaped += 1

    def on_prompt_input_scroll_key_pressed(self, event: PromptInput.ScrollKeyPressed) -> None:
        self.scrolled.append(event.action)

    def action_interrupt(self) -> None:
        self.interrupted += 1


def option_rows(completion: Completion) -> list[str]:
    return [completion.render_line(y).text.rstrip() for y in range(completion.size.height)]


async def test_enter_sends_and_empties() -> None:
    async with (app := Host()).run_test() as pilot:
        await pilot.press(*"hi", "enter")
        assert (app.submitted, app.input.text) == (["hi"], "")


async def test_blank_text_is_not_sent() -> None:
    async with (app := Host()).run_test() as pilot:
        await pilot.press("enter", "space", "ctrl+j", "enter")
        assert (app.submitted, app.input.text) == ([], " \n")


@pytest.mark.parametrize("key", ["ctrl+j", "shift+enter"])
async def test_a_new_line_key(key: str) -> None:
    async with (app := Host()).run_test() as pilot:
        await pilot.press("a", key, "b", "enter")
        assert app.submitted == ["a\nb"]


async def test_it_grows_to_ten_rows() -> None:
    async with (app := Host()).run_test(size=(40, 30)) as pilot:
        heights = []
        for lines in (1, 2, 10, 11, 40, 3):
            app.input.text = "\n" * (lines - 1)
            await pilot.pause()
            heights.append(app.input.size.height)
        assert heights == [1, 2, 10, 10, 10, 3]


async def test_on_a_small_screen_it_leaves_half_to_the_conversation() -> None:
    async with (app := Host()).run_test(size=(40, 12)) as pilot:
        app.input.text = "\n" * 20
        await pilot.pause()
        assert app.input.size.height == 4


async def test_completions_have_the_room_above_the_input() -> None:
    async with (app := Host()).run_test(size=(40, 6)) as pilot:
        app.input.text = "/"
        await pilot.pause()
        assert app.completion.region.height == app.input.region.y == 3
        app.completion.move(-1)
        assert option_rows(app.completion)[-1] == "› /helpful"


async def test_up_and_down_walk_through_what_was_sent_and_keep_the_draft() -> None:
    async with (app := Host()).run_test() as pilot:
        app.input.remember("first", "second\nline", "second\nline")
        await pilot.press(*"dra", "up")
        assert app.input.text == "second\nline"
        await pilot.press("up")  # to the row above
        assert app.input.text == "second\nline"
        await pilot.press("up", "up", "up")
        assert app.input.text == "first"
        await pilot.press("down", "down")
        assert app.input.text == "dra"
        await pilot.press("down", "f")
        assert app.input.text == "draf"


async def test_up_inside_a_wrapped_line_moves_the_cursor() -> None:
    async with (app := Host()).run_test(size=(30, 20)) as pilot:
        app.input.remember("before")
        app.input.text = "word " * 12
        await pilot.press("up")
        assert app.input.text == "word " * 12
        await pilot.press("up", "up")
        assert app.input.text == "before"


async def test_a_text_put_in_has_the_cursor_at_its_end() -> None:
    async with (app := Host()).run_test() as pilot:
        app.input.text = "one\ntwo"
        await pilot.press("!")
        assert app.input.text == "one\ntwo!"


async def test_escape_is_told() -> None:
    async with (app := Host()).run_test() as pilot:
        await pilot.press("escape")
        assert app.escaped == 1


async def test_ctrl_c_is_the_apps_unless_something_is_selected() -> None:
    async with (app := Host()).run_test() as pilot:
        await pilot.press(*"abc", "ctrl+c")
        assert app.interrupted == 1
        await pilot.press("shift+left", "ctrl+c")
        assert (app.interrupted, app.clipboard) == (1, "c")


async def test_the_cursor_does_not_blink() -> None:
    async with (app := Host()).run_test():
        assert app.input.cursor_blink is False


async def test_hostile_text_is_inert_however_it_comes() -> None:
    async with (app := Host()).run_test(size=(60, 20)) as pilot:
        for name, text in SHORT.items():
            app.input.text = ""
            app.post_message(events.Paste(text))
            await pilot.pause()
            pasted = app.input.text
            assert pasted == inert(pasted), name
            app.input.text = text
            await pilot.pause()
            assert app.input.text == inert(app.input.text), name
            drawn = "".join(app.input.render_line(y).text for y in range(app.input.size.height))
            assert drawn == inert(drawn), name


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
async def test_the_lines_of_a_paste_stay_lines(end: str) -> None:
    async with (app := Host()).run_test() as pilot:
        app.post_message(events.Paste(f"one{end}two{end}"))
        await pilot.press("enter")
        app.post_message(events.Paste(f"line{end}" * 3000))
        await pilot.pause()
        assert app.input.text == "[pasted text 1: 3001 lines, 15000 characters]"
        await pilot.press("enter")
        assert app.submitted == ["one\ntwo\n", "line\n" * 3000]


async def test_a_megabyte_is_folded_and_sent_whole() -> None:
    async with (app := Host()).run_test() as pilot:
        await pilot.press(*"see ")
        app.post_message(events.Paste(CORPUS["long_line"]))
        await pilot.pause()
        assert app.input.text == "see [pasted text 1: 1 lines, 1000000 characters]"
        await pilot.press("!", "enter")
        assert app.submitted == [f"see {CORPUS['long_line']}!"]
        await pilot.press("up")
        assert app.input.full_text == app.submitted[0]
        assert len(app.input.text) < 100


async def test_a_folded_paste_that_is_deleted_is_not_sent() -> None:
    async with (app := Host()).run_test() as pilot:
        app.post_message(events.Paste(CORPUS["long_line"]))
        await pilot.pause()
        app.input.text = ""
        await pilot.press("x", "enter")
        assert app.submitted == ["x"]


async def test_completions_open_while_typing_and_close_when_nothing_fits() -> None:
    async with (app := Host()).run_test(size=(60, 20)) as pilot:
        assert not app.completion.display
        await pilot.press("/", "m")
        await pilot.pause()
        assert option_rows(app.completion) == ["› /model  load a model", "  /multi  several turns"]
        assert app.completion.region.bottom == app.input.region.y
        await pilot.press("x")
        await pilot.pause()
        assert not app.completion.display


async def test_tab_takes_the_highlighted_value() -> None:
    async with (app := Host()).run_test() as pilot:
        await pilot.press("/", "m", "down", "tab")
        assert (app.input.text, app.completion.is_open, app.focused) == ("/multi", False, app.input)
        app.input.text = ""
        await pilot.press("/", "m", "up", "up", "tab", "x")
        assert app.input.text == "/model x"


async def test_enter_sends_a_value_that_is_complete_and_waits_for_an_argument() -> None:
    async with (app := Host()).run_test() as pilot:
        await pilot.press("/", "m", "enter")
        assert (app.input.text, app.submitted) == ("/model ", [])
        app.input.text = ""
        await pilot.press("/", "m", "u", "enter")
        assert app.submitted == ["/multi"]
        await pilot.press(*"/help", "enter")  # typed in full, though a longer one fits too
        assert app.submitted == ["/multi", "/help"]


async def test_enter_goes_by_the_text_of_now_not_by_the_list_of_before() -> None:
    async with (app := Host()).run_test() as pilot:
        app.input.text = "/m"
        await pilot.pause()
        assert app.completion.value == "/model "
        app.input.replace("/mul", (0, 0), (0, 2))
        app.input._handle("enter")
        await pilot.pause()
        assert app.submitted == ["/multi"]
        app.input.text = "/mo"
        app.input._handle("enter")
        await pilot.pause()
        assert (app.input.text, app.submitted) == ("/model ", ["/multi"])


async def test_tab_stays_in_a_command() -> None:
    async with (app := Host()).run_test() as pilot:
        await pilot.press("/", "h", "escape", "tab")
        assert (app.input.text, app.completion.is_open, app.focused) == ("/h", True, app.input)
        await pilot.press("tab", "tab", "tab")
        assert (app.input.text, app.focused) == ("/helpful", app.input)
        await pilot.press(*" x", "tab")
        assert (app.input.text, app.focused) == ("/helpful x", app.input)


async def test_recalled_commands_do_not_stop_the_walk() -> None:
    async with (app := Host()).run_test() as pilot:
        app.input.remember("first", "/help")
        await pilot.press("up", "up")
        assert app.input.text == "first"


async def test_page_keys_scroll_elsewhere_while_all_of_the_input_is_in_view() -> None:
    async with (app := Host()).run_test(size=(40, 30)) as pilot:
        await pilot.press("pageup", "pagedown", "ctrl+home", "ctrl+end")
        assert app.scrolled == ["scroll_page(-1)", "scroll_page(1)", "top", "bottom"]
        app.input.text = "\n" * 40
        await pilot.pause()
        await pilot.press("pageup")
        assert (len(app.scrolled), app.input.cursor_location) == (4, (30, 0))


async def test_escape_closes_the_list_first() -> None:
    async with (app := Host()).run_test() as pilot:
        await pilot.press("/", "escape")
        assert (app.completion.is_open, app.escaped) == (False, 0)
        await pilot.press("escape")
        assert app.escaped == 1


async def test_a_click_takes_a_value() -> None:
    async with (app := Host()).run_test() as pilot:
        app.input.text = "/"
        await pilot.pause()
        await pilot.click(Completion, offset=(5, 1))
        assert app.input.text == "/multi"


async def test_a_long_list_scrolls_and_hostile_values_are_inert() -> None:
    options = [(f"value {n}", "\x1b[31m[red]help[/]\n") for n in range(20)]
    async with (app := Host(lambda _text: options)).run_test(size=(60, 24)) as pilot:
        app.completion.offer("v")
        await pilot.pause()
        app.completion.move(-1)
        assert app.completion.value == "value 19"
        drawn = option_rows(app.completion)
        assert len(drawn) == 8
        assert drawn[-1] == "› value 19  ␛[31m[red]help[/]"
