"""What is asked for from Python instead of a command line: the same options by the same names, checked alike."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath

from vfi_pipeline.configuration import build, compose_model, model_names
from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.method import ModelChoice, choose_model
from vfi_pipeline.jobs.option_fields import declared, names
from vfi_pipeline.jobs.option_table import INPUT, MODEL
from vfi_pipeline.jobs.options import Options, read_options
from vfi_pipeline.jobs.sources import Film, select
from vfi_pipeline.jobs.style import StyleOptions
from vfi_pipeline.jobs.values import unknown
from vfi_pipeline.models.shipped import check_for_films, model_of

Value = object
"""Of an option: its text, or a number, a Fraction, a bool, a path; None: not given."""


@dataclass(frozen=True)
class Request:
    """A job on films: its options, its motion model, and the command line that says the same."""

    options: Options
    model_choice: ModelChoice
    command: str

    @property
    def film(self) -> Film:
        """The one film that is asked for.

        Raises:
            UserError: if there are several.
        """
        films = select(self.options.inputs, self.options.output).films
        if len(films) != 1:
            raise UserError(f"{len(films)} films were named, one is expected.", "one call for each film.")
        return films[0]


def film_request(
    inputs: Sequence[str | PathLike[str]], options: Mapping[str, Value], program: Sequence[str] = ("vfi", "interpolate")
) -> Request:
    """The job that ``options`` ask for.

    Args:
        inputs: as ``input=``: files, folders, patterns.
        options: names of ``docs/interpolate.md``, ``model`` among them; ``model.KEY`` sets an option of the model.
        program: how the command line begins.

    Raises:
        UserError: if an option is unknown or does not fit.
    """
    texts = {name: text_of(value) for name, value in options.items() if value is not None}
    nested = {name: text for name, text in texts.items() if name.startswith(f"{MODEL.name}.")}
    option_names = {*names([*declared(Options).values(), *declared(StyleOptions).values()]), MODEL.name}
    for name in texts.keys() - nested.keys() - option_names:
        raise unknown(name, [*option_names], "option of films")
    words = [f"{INPUT.name}={fspath(path)}" for path in inputs] + [f"{name}={text}" for name, text in texts.items()]
    plain = {name: text for name, text in texts.items() if name not in nested}
    model = plain.pop(MODEL.name, None)
    if model is None and "weights" in plain:
        model = model_of(plain["weights"])
    if model is not None and model not in model_names():
        raise unknown(model, model_names(), MODEL.name)
    composed = compose_model(model)
    if composed.settings["_target_"].startswith("vfi_pipeline.animation."):
        raise UserError(f"model={composed.model} animates pairs of pictures, not films.", "model=flow.")
    read = read_options(tuple(fspath(path) for path in inputs), {**composed.defaults, **plain})
    model_choice = choose_model(composed.model, composed.settings, nested, read, build)
    if model_choice.weights is not None:
        check_for_films(model_choice.weights)
    return Request(read, model_choice, shlex.join([*program, *words]))


def text_of(value: Value) -> str:
    """The text that the command line would have for a value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, PathLike):
        return str(fspath(value))
    if isinstance(value, list | tuple):
        return f"[{','.join(text_of(part) for part in value)}]"
    return str(value)
