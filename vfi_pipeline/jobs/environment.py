"""What else of a machine the frames depend on, beside what a job's fingerprint names: for workers, who must agree."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

import vfi_pipeline
from vfi_pipeline.media import ffmpeg

LIBRARIES = ("torch", "numpy", "av")


def environment() -> dict[str, str]:
    """The program's own source, the libraries that make pictures, and how ffmpeg was built."""
    facts = {"code": _source(), "ffmpeg build": ffmpeg.build()}
    for name in LIBRARIES:
        try:
            facts[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            facts[name] = "unknown"
    return facts


def _source() -> str:
    root = Path(vfi_pipeline.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
