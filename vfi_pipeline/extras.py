"""What only some commands need: which libraries an extra brings, and the line that installs it. Imports nothing."""

from __future__ import annotations

import importlib.util

from vfi_pipeline.errors import ENVIRONMENT, UserError

EXTRAS: dict[str, tuple[str, ...]] = {
    "train": (
        "pytorch_lightning", "wandb", "lpips", "torchvision", "sklearn", "skimage", "matplotlib", "tensorboardX",
    ),
    "app": ("gradio",),
    "cluster": ("ray", "submitit"),
}  # fmt: skip
"""Extra -> the modules that it brings; requirements/<extra>.txt has their distributions."""


def missing(extra: str) -> list[str]:
    """The modules of an extra that are not installed; none is imported."""
    return [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]


def install_line(extra: str) -> str:
    """What to type to get it."""
    return f'pip install "vfi-pipeline[{extra}]"'


def lacking(what: str, modules: list[str], extra: str) -> UserError:
    """The error that tells what a command lacks and how to get it."""
    verb = "is" if len(modules) == 1 else "are"
    return UserError(
        f"{what} needs {', '.join(modules)}, which {verb} not installed.", install_line(extra), ENVIRONMENT
    )


def require(extra: str, what: str, *modules: str) -> None:
    """Checks that an extra is there, without importing it.

    Args:
        what: the subject of the sentence, as in ``"Training"``.
        modules: those that it cannot do without; by default all of the extra's.

    Raises:
        UserError: naming all that is missing, with the line to type.
    """
    absent = missing(extra)
    if any(name in absent for name in modules or EXTRAS[extra]):
        raise lacking(what, absent, extra)


def explained(error: BaseException | None, what: str = "This") -> UserError | None:
    """The same for an import that failed on the way, or None if no extra brings the module."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError):
            module = (error.name or "").partition(".")[0]
            for extra, modules in EXTRAS.items():
                if module in modules:
                    return lacking(what, [module], extra)
        error = error.__cause__ or error.__context__
    return None
