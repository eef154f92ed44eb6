"""`finetui export`: an adapter merged into its base, with the proof that it answers as before; or its files alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.errors import UsageError
from core.i18n import _, plural
from core.models.export import Difference, Exported, export_adapter
from core.models.export import export as export_model
from core.untrusted import inert_line
from core.workspace import find_workspace
from tui.cli.console import Progress, cancelled_by_signals, print_json

_DTYPES = ("auto", "float32", "bfloat16", "float16")


def export(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN…", help=_("Runs, checkpoints or adapters, in their order."))
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help=_("The new folder.  [models/RUN-merged]"))
    ] = None,
    model: Annotated[str, typer.Option("--model", help=_("The base, where the adapter's own is not meant."))] = "",
    dtype: Annotated[str, typer.Option("--dtype", help=_("Number format of the weights; auto: the base's."))] = "auto",
    device: Annotated[str, typer.Option("--device", help=_("Where to merge: cpu, cuda, auto."))] = "auto",
    adapter_only: Annotated[
        bool, typer.Option("--adapter-only", help=_("Copy the adapter's own files; nothing is merged."))
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help=_("Print JSON."))] = False,
) -> None:
    """Merge LoRA adapters into the model that they were trained on, and prove that the answers stay the same."""
    workspace = find_workspace()
    if adapter_only:
        _copied(runs, output, as_json)
        return
    if dtype not in _DTYPES:
        raise UsageError(_("--dtype {name}: there is no such format").format(name=dtype), ", ".join(_DTYPES))
    progress = Progress()
    with cancelled_by_signals() as cancelled:
        try:
            exported = export_model(
                runs,
                workspace,
                output=output,
                model=model,
                dtype=dtype,
                device=device,
                on_stage=progress.show,
                cancelled=cancelled,
            )
        finally:
            progress.clear()
    if as_json:
        print_json({"kind": "export", **exported.record()})
    else:
        print("\n".join(_told(exported)))


def _copied(runs: list[str], output: Path | None, as_json: bool) -> None:
    if len(runs) != 1:
        raise UsageError(_("--adapter-only copies one adapter, not {count}").format(count=len(runs)))
    path = export_adapter(runs[0], find_workspace(), output)
    if as_json:
        print_json({"kind": "adapter", "path": str(path)})
    else:
        print(_("copied to {path}").format(path=inert_line(str(path))))


def _told(exported: Exported) -> list[str]:
    names = ", ".join(Path(path).name for path in exported.adapters)
    asked = plural("{count} probe prompt", "{count} probe prompts", exported.probes)
    merged = _("merged {adapters} into {model}, {dtype}: {path}").format(
        adapters=inert_line(names),
        model=inert_line(Path(exported.model).name),
        dtype=exported.dtype,
        path=inert_line(str(exported.path)),
    )
    return [
        merged,
        _("proof on {prompts}, largest difference of logits (they reach {size:.1f}):").format(
            prompts=asked, size=exported.merging.size
        ),
        _("  merging, in float32:  {proof}").format(proof=_proof(exported.merging)),
        _("  as written and read:  {proof}").format(proof=_proof(exported.stored)),
    ]


def _proof(found: Difference) -> str:
    return _("{difference:.2g}; the likeliest token is the same at {same} of {all} places").format(
        difference=found.difference, same=found.same_choices, all=found.positions
    )
