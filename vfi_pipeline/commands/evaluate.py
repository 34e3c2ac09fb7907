"""Measure made frames against true ones: ``python evaluate.py input=clips rates=[2,8]`` (``--help`` for more)."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from vfi_pipeline.commands.wording import help_in_words_of, in_words_of, log_in_words_of
from vfi_pipeline.configuration import conf_folder, model_names
from vfi_pipeline.errors import DONE, ENVIRONMENT, INTERRUPTED, USAGE, UserError
from vfi_pipeline.extras import explained
from vfi_pipeline.jobs.hydra_line import explain, split_paths
from vfi_pipeline.starting import quiet_start
from vfi_pipeline.threads import yield_idle_cores


def say(text: str) -> None:
    """A line of the result, on standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


PATHS = ("input", "output", "page", "model.weights")
"""Options that name files: taken as typed, whatever letters they hold."""


def run(cfg: DictConfig, paths: Mapping[str, str | None], command: str, speed_program: Callable[[], Any]) -> None:
    """Builds the methods that the configuration names, measures them, and writes the tables.

    Args:
        paths: what was typed for ``PATHS``.
        speed_program: see ``main``.
    """
    with quiet_start():
        from vfi_pipeline.evaluation.baselines import BASELINES, baseline, by_model
        from vfi_pipeline.evaluation.page import write_section
        from vfi_pipeline.evaluation.quality import evaluate, read_rates
        from vfi_pipeline.evaluation.report import Keeper, markdown, quality_section, save
        from vfi_pipeline.evaluation.samples import distinct, named, samples
        from vfi_pipeline.nets.perceptual import perceptual_or_none

    chosen = HydraConfig.get().runtime.choices["model"]
    ours = {chosen: model(chosen, cfg.model, paths)}
    methods = {chosen: by_model(ours[chosen])}
    for name in cfg.methods:
        if name not in methods and name in BASELINES:
            methods[name] = baseline(name)
        elif name not in methods and name in model_names():
            ours[name] = of_films(
                name, hydra.utils.instantiate(OmegaConf.load(conf_folder() / "model" / f"{name}.yaml"))
            )
            methods[name] = by_model(ours[name])
        elif name not in methods:
            choices = ", ".join(sorted({*BASELINES, *model_names()}))
            raise UserError(f"No method is called {name!r}.", f"methods= some of {choices}.", USAGE)
    typed: Any = OmegaConf.to_container(cfg, resolve=True)
    rates = read_rates(typed["rates"], typed["frames"])
    folder = Path(paths.get("output") or cfg.output).expanduser()
    text = paths.get("input", cfg.input)
    sources = named(text) if text else [speed_program().demo_film(folder)]
    distinct_samples = distinct(sample for source in sources for sample in samples(source, cfg.layout, cfg.frames))
    lpips = perceptual_or_none() if cfg.lpips else None
    typed |= {key: value for key, value in paths.items() if key in typed}
    results = evaluate(
        distinct_samples, methods, rates, lpips, cfg.temporal, cfg.pictures, say,
        after=Keeper(folder, command, typed) if len(distinct_samples) > 1 else lambda so_far: None,
        planes=cfg.planes, chroma=cfg.chroma,
    )  # fmt: skip
    tables = markdown(results, command)
    say("\n" + tables)
    for path in save(results, folder, command, typed)[:3]:
        say(f"  {path}")
    named_page = paths.get("page", cfg.page)
    page = Path(named_page).expanduser() if named_page else None
    if page:
        name = sources[0].stem if len(sources) == 1 else f"{len(sources)} films"
        write_section(page, f"quality {name}", f"Quality: {name}", quality_section(results, command))
    if cfg.speed:
        say("\n" + speed_program().report(folder, ours, command, say, page, cfg.minutes))


def no_speed_program() -> NoReturn:
    """In place of ``benchmarks.speed``, which is beside ``evaluate.py`` and not installed with the package.

    Raises:
        UserError: always.
    """
    raise UserError(
        "speed=true, and an evaluation without input=, need benchmarks/ of the repository.",
        "input= a film or a folder, without speed=; or python evaluate.py in a checkout.",
        ENVIRONMENT,
    )


def model(name: str, settings: DictConfig, paths: Mapping[str, str | None]) -> Any:
    """The model ``name``, with weights from the file that was typed."""
    if "model.weights" not in paths:
        return of_films(name, hydra.utils.instantiate(settings))
    if "weights" not in settings:
        raise UserError(f"model={name} takes no weights.", "leave model.weights= out, or choose another model=.", USAGE)
    return of_films(name, hydra.utils.instantiate(settings, _partial_=True)(weights=paths["model.weights"]))


def of_films(name: str, built: Any) -> Any:
    """The model, if it makes frames of films.

    Raises:
        UserError: if it animates pictures alone.
    """
    if not hasattr(built, "motion"):
        raise UserError(f"{name} animates pairs of pictures; films are what is evaluated.", "model=flow.", USAGE)
    return built


def main(
    argv: Sequence[str] | None = None,
    program: Sequence[str] = ("python", "evaluate.py"),
    speed_program: Callable[[], Any] = no_speed_program,
) -> int:
    """The command; a failure that the user can act on ends it with its own exit code, without a traceback.

    Args:
        argv: the words after the program's name; None: those of this process.
        program: how the program was called, such as ``("vfi", "evaluate")``.
        speed_program: gives what measures speed (``benchmarks.speed``).
    """
    yield_idle_cores()
    words = list(sys.argv[1:] if argv is None else argv)
    command = shlex.join([*program, *words])
    rest, paths = split_paths(words, PATHS)

    @hydra.main(config_path=str(conf_folder()), config_name="evaluate", version_base="1.3")
    def task(cfg: DictConfig) -> None:
        logging.getLogger().setLevel(logging.WARNING)
        log_in_words_of(program)
        try:
            run(cfg, paths, command, speed_program)
        except (UserError, HydraException, ModuleNotFoundError) as mistake:
            end(mistake, program)

    sys.argv[1:] = rest
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra's own mistakes come here instead of ending the program with code 1
    try:
        with help_in_words_of(program, words):
            task()
    except HydraException as mistake:
        end(mistake, program)
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped: the results written so far are marked as unfinished.\n")
        return INTERRUPTED
    return DONE


def end(mistake: UserError | HydraException | ModuleNotFoundError, program: Sequence[str]) -> NoReturn:
    """Prints the problem and the remedy, and ends the program."""
    error = mistake if isinstance(mistake, UserError) else explained(mistake, "This measurement")
    if error is None and isinstance(mistake, ModuleNotFoundError):
        raise mistake
    if error is None:
        written = yaml.safe_load((conf_folder() / "evaluate.yaml").read_text(encoding="utf-8"))
        options = {*written, "model"} - {"defaults", "hydra"}
        error = explain(str(mistake), mistake.__cause__, "evaluate.py", options, model_names())
    sys.stderr.write(in_words_of(program, f"error: {error}\n"))
    sys.exit(error.code)
