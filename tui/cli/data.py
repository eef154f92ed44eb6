"""`finetui data`: which data sets there are, what stands in them, what is wrong with them. The Data screen in words."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from core.data.catalog import Catalog, guess_entry, read_catalog, register
from core.data.checks import check as check_data
from core.data.entry import DatasetEntry
from core.data.examples import AllRows, RowSet, data_folder, open_held
from core.data.formats import shape_of
from core.data.guess import columns_of
from core.data.problems import RowProblem, shown_path
from core.data.rows import open_file, open_rows
from core.data.search import search
from core.data.statistics import statistics
from core.data.subsets import part_stem, split_dataset
from core.errors import DataError
from core.i18n import _, plural
from core.untrusted import inert_line
from core.workspace import Workspace, find_workspace
from tui.cli.console import Progress, note, print_json
from tui.cli.data_tables import (
    Listed,
    entry_pairs,
    entry_record,
    example_lines,
    example_record,
    listed_record,
    listed_rows,
    problem_line,
    problem_record,
    report_line,
    report_record,
    statistics_lines,
    statistics_record,
    subset_line,
)
from tui.cli.model_tables import lines, table

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

Json = Annotated[bool, typer.Option("--json", help=_("Print JSON, one object a line."))]
Folder = Annotated[
    str, typer.Option("--dataset_dir", metavar="FOLDER", help=_("Where dataset_info.json lies, in the workspace."))
]
Name = Annotated[str, typer.Argument(metavar="NAME", help=_("A data set of dataset_info.json, or a file."))]


def _help(text: str) -> dict[str, Any]:
    """The text as a whole in both places: typer would cut it in the list of verbs."""
    return {"help": text, "short_help": text}


@app.callback(invoke_without_command=True)
def _data(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_all()


# --- list --------------------------------------------------------------------------------------------------------


@app.command("list", **_help(_("List the data sets and the files that are not entered yet.")))
def list_all(dataset_dir: Folder = "data", as_json: Json = False) -> None:
    catalog = _catalog(dataset_dir, find_workspace())
    listed = [
        *map(_listed, catalog.entries.values()),
        *(_unregistered(path, catalog) for path in catalog.unregistered()),
    ]
    if as_json:
        for item in listed:
            print_json(listed_record(item))
        for problem in catalog.problems.values():
            print_json(problem_record(problem))
        return
    for line in table(listed_rows(listed)) if listed else ():
        print(line)
    for problem in catalog.problems.values():
        print(problem_line(problem))
    if not listed and not catalog.problems:
        print(_("no data sets in {folder}").format(folder=inert_line(shown_path(catalog.folder))))


def _listed(entry: DatasetEntry) -> Listed:
    """A set with its number of rows; one of a hub is not fetched for that."""
    if entry.hub_name:
        return Listed(entry, None, 0)
    try:
        rows = open_rows(entry)
        problem = next((problem.what for problem in rows.problems if problem.severity == "error"), "")
        return Listed(entry, len(rows), sum(path.stat().st_size for path in rows.files), problem)
    except (DataError, OSError) as error:
        return Listed(entry, None, 0, error.message if isinstance(error, DataError) else str(error))


def _unregistered(path: Path, catalog: Catalog) -> Listed:
    try:
        listed = _listed(guess_entry(path, catalog.folder))
    except DataError as error:
        entry = DatasetEntry(path.stem, catalog.folder, path.name, columns={}, registered=False)
        return Listed(entry, None, path.stat().st_size, error.message)
    told = _("not entered: finetui data add {name}").format(name=path.name)
    return dataclasses.replace(listed, problem=listed.problem or told)


# --- show --------------------------------------------------------------------------------------------------------


@app.command(**_help(_("Show a data set's rows as a training would read them.")))
def show(
    name: Name,
    rows: Annotated[int, typer.Option("--rows", "-n", metavar="N", min=1, help=_("How many rows."))] = 3,
    start: Annotated[int, typer.Option(metavar="N", min=1, help=_("The first of them, counted from 1."))] = 1,
    text: Annotated[str, typer.Option("--search", metavar="TEXT", help=_("Only rows with this text."))] = "",
    dataset_dir: Folder = "data",
    as_json: Json = False,
) -> None:
    workspace = find_workspace()
    entry = _catalog(dataset_dir, workspace).entry(name)
    examples = _examples(name, dataset_dir, workspace)
    source = examples.parts[0].rows
    if as_json:
        print_json({**entry_record(entry), "rows": len(source)})
    else:
        for line in lines(entry_pairs(entry, len(source))):
            print(line)
    if start > max(len(source), 1):
        note(plural("there is {count} row", "there are {count} rows", len(source)))
    numbers = search(source, text, start - 1) if text else iter(range(start - 1, len(source)))
    shown = 0
    for number, _left in zip(numbers, range(rows), strict=False):
        _print_row(examples, number, as_json)
        shown += 1
    if text and not shown and not as_json:
        note(_("no row has this text"))


def _examples(name: str, dataset_dir: str, workspace: Workspace) -> RowSet[Any]:
    return open_held(name, AllRows(dataset_dir=dataset_dir), workspace)


def _print_row(examples: RowSet[Any], number: int, as_json: bool) -> None:
    part = examples.parts[0]
    try:
        row, place = part.rows[number]
        example, faults = examples.convert(row, part.shape)
    except RowProblem as problem:
        place, example, faults = problem.place, None, [problem.fault]
    problems = [RowProblem(place, fault).problem for fault in faults]
    if as_json:
        record = {"kind": "row", "row": number + 1, "file": str(place.file), "line": place.line}
        record |= example_record(example) if example is not None else {}
        print_json(record | ({"problems": [problem_record(problem) for problem in problems]} if problems else {}))
        return
    print()
    print(inert_line(f"{number + 1}  {place}"))
    for line in example_lines(example) if example is not None else map(problem_line, problems):
        print(line)


# --- add ---------------------------------------------------------------------------------------------------------


@app.command(**_help(_("Enter a file in dataset_info.json; what its columns mean is guessed and shown.")))
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=_("A json, jsonl, csv, txt, parquet or arrow file."))],
    name: Annotated[str, typer.Option(metavar="NAME", help=_("Its name. Not given: the file's."))] = "",
    prompt: Annotated[str, typer.Option(metavar="COLUMN", help=_("The column of the question."))] = "",
    response: Annotated[str, typer.Option(metavar="COLUMN", help=_("The column of the answer."))] = "",
    query: Annotated[str, typer.Option(metavar="COLUMN", help=_("A column that is put behind the question."))] = "",
    history: Annotated[str, typer.Option(metavar="COLUMN", help=_("The column of the earlier turns."))] = "",
    system: Annotated[str, typer.Option(metavar="COLUMN", help=_("The column of the system prompt."))] = "",
    dataset_dir: Folder = "data",
    as_json: Json = False,
) -> None:
    folder = data_folder(AllRows(dataset_dir=dataset_dir), find_workspace())
    named = {"prompt": prompt, "query": query, "response": response, "history": history, "system": system}
    path, given = _found(file, folder), {role: column for role, column in named.items() if column}
    _check_columns(path, given)
    entry = _described(path, folder, given)
    entry = register(folder, dataclasses.replace(entry, name=name or entry.name))
    if as_json:
        print_json(entry_record(entry))
        return
    for line in lines(entry_pairs(entry, len(open_rows(entry)))):
        print(line)
    told = _("entered in {path}; look at it with: finetui data check {name}")
    print(told.format(path=inert_line(shown_path(folder / "dataset_info.json")), name=inert_line(entry.name)))


def _found(file: Path, folder: Path) -> Path:
    for path in (file.expanduser(), folder / file):
        if path.is_file():
            return path.absolute()
    raise DataError(
        _("{path} is no file").format(path=inert_line(str(file))),
        _("name a file here or in {folder}").format(folder=shown_path(folder)),
    )


def _check_columns(path: Path, given: dict[str, str]) -> None:
    """Refuse columns that none of the first rows has: every row would be told as a problem later."""
    there = columns_of(open_file(path)) if given else []
    for role, column in given.items():
        if there and column not in there:
            raise DataError(
                _("{path} has no column {column!r} for --{role}").format(
                    path=inert_line(shown_path(path)), column=column, role=role
                ),
                _("there are: {names}").format(names=inert_line(", ".join(there))),
            )


def _described(path: Path, folder: Path, given: dict[str, str]) -> DatasetEntry:
    """A file with the columns that were named; with none, those that are guessed."""
    if not {"prompt", "response"} <= given.keys():
        guessed = guess_entry(path, folder)
        if given and guessed.formatting != "alpaca":
            raise DataError(
                _("{path} holds messages, not columns of questions and answers").format(path=shown_path(path)),
                _("leave --{role} out").format(role=next(iter(given))),
            )
        return dataclasses.replace(guessed, columns={**guessed.columns, **given})
    inside = path.is_relative_to(folder.absolute())
    file_name = path.relative_to(folder.absolute()).as_posix() if inside else str(path)
    return DatasetEntry(path.stem, folder, file_name, columns=given, columns_given=True)


# --- check -------------------------------------------------------------------------------------------------------


@app.command(**_help(_("Tell everything that is wrong with data sets, each problem with its file and line.")))
def check(
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help=_("Data sets, or files."))],
    against: Annotated[
        str, typer.Option(metavar="NAME,…", help=_("Test sets, none of whose questions may stand in the others."))
    ] = "",
    model: Annotated[
        str, typer.Option(metavar="MODEL", help=_("Also count tokens with this model: cut rows, rows without loss."))
    ] = "",
    cutoff_len: Annotated[
        int, typer.Option("--cutoff_len", metavar="N", min=8, help=_("The longest row, in tokens."))
    ] = 2048,
    template: Annotated[
        str, typer.Option(metavar="NAME", help=_("With --model: another template than its own."))
    ] = "auto",
    dataset_dir: Folder = "data",
    as_json: Json = False,
) -> None:
    progress, workspace = Progress(), find_workspace()
    report = check_data(
        names,
        AllRows(dataset_dir=dataset_dir),
        workspace,
        against=tuple(filter(None, against.split(","))),
        on_progress=lambda done, total: progress.show(_("looking at the rows"), f"{done:,} / {total:,}"),
    )
    if model and not report.stops("skip"):
        from tui.cli.data_tokens import with_tokens  # 150 ms, options and launching with it: for --model alone

        options: dict[str, str | int] = {"dataset_dir": dataset_dir, "cutoff_len": cutoff_len, "template": template}
        options |= _stage_of(names, dataset_dir, workspace)
        report = with_tokens(report, names, model, options, workspace, progress)
    progress.clear()
    for problem in report.problems:
        if as_json:
            print_json(problem_record(problem))
        else:
            print(problem_line(problem))
    if as_json:
        print_json(report_record(report))
    else:
        if report.total > len(report.problems):
            print(_("and {count} more").format(count=f"{report.total - len(report.problems):,}"))
        print(report_line(report))
    raise typer.Exit(1 if report.errors else 0)


def _stage_of(names: list[str], dataset_dir: str, workspace: Workspace) -> dict[str, str]:
    """The stage that reads such sets: pairs of answers, and questions alone, become tokens in their own way.

    Raises:
        DataError: sets of both kinds are named.
    """
    entries = [_catalog(dataset_dir, workspace).entry(name) for name in names]
    ranking = [entry.name for entry in entries if entry.ranking]
    if any(shape_of(entry).kind == "prompts" for entry in entries):
        return {"stage": "ppo"}
    if not ranking:
        return {}
    if len(ranking) < len(entries):
        other = next(entry.name for entry in entries if not entry.ranking)
        what = _("{ranking} holds two answers to compare, {other} one: no stage trains on both")
        shown = what.format(ranking=inert_line(ranking[0]), other=inert_line(other))
        raise DataError(shown, _("check them one after the other"))
    return {"stage": "rm"}


# --- split -------------------------------------------------------------------------------------------------------


@app.command(**_help(_("Divide a data set into one to train on and one to test with, and enter both.")))
def split(
    name: Name,
    train: Annotated[
        int | None, typer.Option(metavar="N", min=1, help=_("Rows to train on. Not given: all that the test leaves."))
    ] = None,
    test: Annotated[int, typer.Option(metavar="N", min=0, help=_("Rows to test with; 0 makes no test set."))] = 0,
    stratify: Annotated[bool, typer.Option("--stratify", help=_("Keep the share of every class of answers."))] = False,
    seed: Annotated[int, typer.Option(metavar="N", help=_("The same seed takes the same rows."))] = 42,
    stem: Annotated[
        str,
        typer.Option(
            "--name",
            metavar="NAME",
            help=_("What the new names begin with. Not given: what the set's name begins with."),
        ),
    ] = "",
    dataset_dir: Folder = "data",
    as_json: Json = False,
) -> None:
    subsets = split_dataset(
        name,
        find_workspace(),
        train=train,
        test=test,
        stratify=stratify,
        seed=seed,
        stem=stem,
        dataset_dir=dataset_dir,
    )
    if subsets[0].source != name == part_stem(subsets[0].source):
        told = _("{name} has several parts; rows are taken from the largest, {source}")
        note(told.format(name=inert_line(name), source=inert_line(subsets[0].source)))
    for subset in subsets:
        if as_json:
            print_json({**entry_record(subset.entry), "rows": subset.rows, "classes": subset.classes})
        else:
            print(subset_line(subset))


# --- stats -------------------------------------------------------------------------------------------------------


@app.command(**_help(_("Count: rows, lengths, the classes of answers that repeat, questions that come twice.")))
def stats(name: Name, dataset_dir: Folder = "data", as_json: Json = False) -> None:
    progress = Progress()
    workspace = find_workspace()
    examples = _examples(name, dataset_dir, workspace)
    figures = statistics(examples, lambda done, total: progress.show(_("counting"), f"{done:,} / {total:,}"))
    progress.clear()
    if as_json:
        print_json(statistics_record(examples.parts[0].entry.name, figures))
        return
    for line in statistics_lines(figures):
        print(line)


# --- preferences -------------------------------------------------------------------------------------------------


@app.command(
    **_help(_("Draw two answers to each prompt, have them judged, and keep the pairs as a data set.")),
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def preferences(context: typer.Context) -> int:
    from tui.cli.preferences import run  # 80 ms, its options: the other verbs do without

    return run(context.args)


def _catalog(dataset_dir: str, workspace: Workspace) -> Catalog:
    return read_catalog(data_folder(AllRows(dataset_dir=dataset_dir), workspace))
