"""What may stand after a slash command, for the completion: parameters, models and adapters, export formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from core.chat.export import FORMATS, SUFFIXES
from core.config.generation import GenerationOptions
from core.i18n import _
from core.models.info import ModelInfo
from tui.parameters import option_specs, texts
from tui.slash import Option, Values


def argument_values(
    models: Sequence[ModelInfo], model: str, options: GenerationOptions, served: Sequence[str] = ()
) -> Mapping[str, Values]:
    """What each slash command takes.

    Args:
        models: those there are.
        model: the one that answers now; its adapters come first.
        options: the parameters as they are now.
        served: models of servers, by their one word.
    """
    elsewhere = [(name, _("served model")) for name in served]
    nearest = sorted(models, key=lambda other: other.name != model)
    return {
        "set": lambda: _parameters(options),
        "model": lambda: [*_models(nearest), *_adapters(nearest), *elsewhere],
        "adapter": lambda: list(_adapters(nearest)),
        "compare": lambda: [
            *_adapters(nearest),
            ("base", _("the base, without an adapter")),
            *_models(nearest),
            *elsewhere,
        ],
        "export": lambda: [(name, SUFFIXES[name]) for name in FORMATS],
    }


def _parameters(options: GenerationOptions) -> list[Option]:
    now = {
        name: _("now {value}.").format(value=value) if value else _("not set.")
        for name, value in texts(options).items()
    }
    return [(f"{spec.name} ", f"{now[spec.name]} {spec.help}") for spec in option_specs()]


def _models(models: Sequence[ModelInfo]) -> Iterator[Option]:
    return ((model.name, _("model")) for model in models)


def _adapters(models: Sequence[ModelInfo]) -> Iterator[Option]:
    for model in models:
        for adapter in model.adapters:
            yield adapter.name, _("adapter of {model}").format(model=model.name)
