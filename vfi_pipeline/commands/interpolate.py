"""Raise the frame rate of a film: ``python interpolate.py input=clip.mp4 fps=60`` (``--help`` for more)."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Mapping, Sequence

from vfi_pipeline.commands import COMMANDS
from vfi_pipeline.commands.wording import in_words_of, log_in_words_of
from vfi_pipeline.configuration import build, compose_model, model_names
from vfi_pipeline.errors import DONE, INTERRUPTED, UserError
from vfi_pipeline.extras import explained
from vfi_pipeline.jobs.command_line import CommandLine, parse
from vfi_pipeline.jobs.interrupts import Interrupted, interruptible
from vfi_pipeline.jobs.option_fields import names
from vfi_pipeline.jobs.option_table import TABLE
from vfi_pipeline.jobs.values import unknown
from vfi_pipeline.threads import yield_idle_cores


def run(line: CommandLine, command: str) -> int:
    """Composes the configuration, puts the user's values in as they were typed, and works."""
    from vfi_pipeline.apps.options import as_film_options, asks_for_pictures, implied_model, model_settings
    from vfi_pipeline.jobs import batch
    from vfi_pipeline.jobs.method import choose_model
    from vfi_pipeline.jobs.options import read_options

    typed = dict(line.values)
    name = line.values.pop("model", None)
    if name is None and line.values.get("weights") is not None:
        from vfi_pipeline.models.shipped import model_of

        name = model_of(line.values["weights"])
    name = name or implied_model(line.values)
    composed = compose_model(name)
    name = composed.model
    texts: dict[str, object] = {**_own_defaults(composed.defaults), **line.values}
    pictures = asks_for_pictures(line.values, name)
    options = read_options(
        tuple(line.inputs),
        as_film_options(texts, typed, inputs=line.inputs) if pictures else texts,
    )
    nested = {**model_settings(texts), **line.nested}
    model_choice = choose_model(name, composed.settings, nested, options, build)
    if pictures:
        from vfi_pipeline.apps.render import animate

        return animate(options, texts, model_choice, command, say)
    return batch.run(options, model_choice, command, say)


def say(text: str) -> None:
    """A line of the result, on standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None, program: Sequence[str] = ()) -> int:
    """The command; returns its exit code.

    Args:
        argv: the words after the program's name; None: those of this process.
        program: how the program was called, such as ``("vfi", "interpolate")``; empty: as a script.
    """
    yield_idle_cores()
    words = list(sys.argv[1:] if argv is None else argv)
    program = program or ("python", sys.argv[0] if argv is None else "interpolate.py")
    command = shlex.join([*program, *words])
    for stream in (sys.stdout, sys.stderr):  # a file name of any letters must not end the job in an old locale
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("vfi_pipeline").setLevel(logging.INFO)
    log_in_words_of(program)
    try:
        with interruptible():
            option_words, models = option_names()
            line = parse(words, option_words, {"model": models})
            if line.help:
                from vfi_pipeline.jobs.help import HELP

                say(in_words_of(program, HELP))
                return DONE
            if shell := line.values.get("completion"):
                from vfi_pipeline.jobs.completion import script

                say(script(shell, {"model": models}, commands=tuple(COMMANDS)))
                return DONE
            return run(line, command)
    except UserError as error:
        sys.stderr.write(in_words_of(program, f"error: {error}\n"))
        return error.code
    except ModuleNotFoundError as error:
        lack = explained(error)
        if lack is None:
            raise
        sys.stderr.write(in_words_of(program, f"error: {lack}\n"))
        return lack.code
    except Interrupted as signal:
        sys.stderr.write(f"\nStopped ({signal}). Segments that were finished are kept. To go on:\n  {command}\n")
        return INTERRUPTED


def option_names() -> tuple[frozenset[str], tuple[str, ...]]:
    """The options, and the models that ``conf`` has."""
    return frozenset(names(TABLE)) - {"model"}, model_names()


def _own_defaults(own: Mapping[str, object]) -> Mapping[str, object]:
    """Defaults of this installation, from conf/interpolate.yaml, which take the place of the table's."""
    option_words, _ = option_names()
    for name in own.keys() - option_words:
        raise unknown(name, option_words, "option that conf/interpolate.yaml may set,")
    return own
