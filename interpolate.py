"""Raise the frame rate of a film: ``python interpolate.py input=clip.mp4 fps=60`` (``--help`` for more)."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vfi_pipeline.errors import DONE, INTERRUPTED, UserError
from vfi_pipeline.jobs.command_line import CommandLine, parse
from vfi_pipeline.jobs.interrupts import Interrupted, interruptible
from vfi_pipeline.jobs.option_fields import names
from vfi_pipeline.jobs.option_table import TABLE
from vfi_pipeline.jobs.values import unknown

CONF = Path(__file__).resolve().parent / "conf"


def run(line: CommandLine, command: str) -> int:
    """Composes the configuration, puts the user's values in as they were typed, and works."""
    from hydra import compose, initialize_config_dir
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from vfi_pipeline.apps.options import as_film_options, asks_for_pictures, implied_model, model_settings
    from vfi_pipeline.jobs import batch
    from vfi_pipeline.jobs.method import choose_method
    from vfi_pipeline.jobs.options import read_options

    name = line.values.pop("model", None)
    if name is None and line.values.get("weights") is not None:
        from vfi_pipeline.models.shipped import model_of

        name = model_of(line.values["weights"])
    name = name or implied_model(line.values)
    with initialize_config_dir(str(CONF), version_base=None):
        cfg = compose("interpolate", [f"model={name}"] if name else [], return_hydra_config=True)
    name = name or cfg.hydra.runtime.choices.model
    settings: Any = OmegaConf.to_container(cfg.model, resolve=True)
    texts: dict[str, object] = {**_own_defaults(cfg), **line.values}
    pictures = asks_for_pictures(line.values, name)
    options = read_options(tuple(line.inputs), as_film_options(texts, line.values) if pictures else texts)
    nested = {**model_settings(texts), **line.nested}
    method = choose_method(name, settings, nested, options, instantiate)
    if pictures:
        from vfi_pipeline.apps.render import animate

        return animate(options, texts, method, command, say)
    return batch.run(options, method, command, say)


def say(text: str) -> None:
    """A line of the result, on standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = shlex.join(["python", sys.argv[0] if argv is None else "interpolate.py", *words])
    for stream in (sys.stdout, sys.stderr):  # a file name of any letters must not end the job in an old locale
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("vfi_pipeline").setLevel(logging.INFO)
    try:
        with interruptible():
            known, models = option_names()
            line = parse(words, known, {"model": models})
            if line.help:
                from vfi_pipeline.jobs.help import HELP

                say(HELP)
                return DONE
            if shell := line.values.get("completion"):
                from vfi_pipeline.jobs.completion import script

                say(script(shell, {"model": models}))
                return DONE
            return run(line, command)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.code
    except Interrupted as signal:
        sys.stderr.write(f"\nStopped ({signal}). The finished segments are kept. To go on:\n  {command}\n")
        return INTERRUPTED


def option_names() -> tuple[frozenset[str], tuple[str, ...]]:
    """The options, and the models that ``conf`` has."""
    models = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
    return frozenset(names(TABLE)) - {"model"}, tuple(models)


def _own_defaults(cfg: Mapping[Any, Any]) -> dict[str, object]:
    """Defaults of this installation, from conf/interpolate.yaml, which take the place of the table's."""
    own = {str(key): value for key, value in cfg.items() if key not in ("model", "hydra")}
    known, _ = option_names()
    for name in own.keys() - known:
        raise unknown(name, known, "option that conf/interpolate.yaml may set,")
    return own


if __name__ == "__main__":
    sys.exit(main())
