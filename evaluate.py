"""Measure made frames against true ones: ``python evaluate.py input=clips rates=[2,8]`` (``--help`` for more)."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from vfi_pipeline.errors import ENVIRONMENT, USAGE, UserError
from vfi_pipeline.jobs.hydra_line import explain, split_paths
from vfi_pipeline.threads import yield_idle_cores

CONF = Path(__file__).resolve().parent / "conf"


def models() -> list[str]:
    """The names that ``model=`` knows."""
    return sorted(path.stem for path in (CONF / "model").glob("*.yaml"))


def say(text: str) -> None:
    """A line of the result, on standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


PATHS = ("input", "output", "page", "model.weights")
"""Options that name files: taken as typed, whatever letters they hold."""


def run(cfg: DictConfig, paths: Mapping[str, str | None], command: str) -> None:
    """Builds the methods that the configuration names, measures them, and writes the tables.

    Args:
        paths: what was typed for ``PATHS``.
    """
    from vfi_pipeline.evaluation.baselines import RIVALS, by_model, rival
    from vfi_pipeline.evaluation.page import write_section
    from vfi_pipeline.evaluation.quality import evaluate, read_rates
    from vfi_pipeline.evaluation.report import Keeper, markdown, quality_section, save
    from vfi_pipeline.evaluation.samples import distinct, named, samples
    from vfi_pipeline.nets.perceptual import perceptual_or_none

    chosen = HydraConfig.get().runtime.choices["model"]
    ours = {chosen: model(chosen, cfg.model, paths)}
    methods = {chosen: by_model(ours[chosen])}
    for name in cfg.methods:
        if name not in methods and name in RIVALS:
            methods[name] = rival(name)
        elif name not in methods and name in models():
            ours[name] = of_films(name, hydra.utils.instantiate(OmegaConf.load(CONF / "model" / f"{name}.yaml")))
            methods[name] = by_model(ours[name])
        elif name not in methods:
            known = ", ".join(sorted({*RIVALS, *models()}))
            raise UserError(f"No method is called {name!r}.", f"methods= some of {known}.", USAGE)
    settings = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(settings, dict)
    rates = read_rates(settings["rates"], settings["frames"])
    folder = Path(paths.get("output") or cfg.output).expanduser()
    text = paths.get("input", cfg.input)
    sources = named(text) if text else [speed_program().demo_film(folder)]
    found = distinct(sample for source in sources for sample in samples(source, cfg.layout, cfg.frames))
    lpips = perceptual_or_none() if cfg.lpips else None
    settings |= {key: value for key, value in paths.items() if key in settings}
    results = evaluate(
        found, methods, rates, lpips, cfg.temporal, cfg.pictures, say,
        after=Keeper(folder, command, settings) if len(found) > 1 else lambda so_far: None,
        planes=cfg.planes, chroma=cfg.chroma,
    )  # fmt: skip
    tables = markdown(results, command)
    say("\n" + tables)
    for path in save(results, folder, command, settings)[:3]:
        say(f"  {path}")
    page = Path(typed).expanduser() if (typed := paths.get("page", cfg.page)) else None
    if page:
        name = sources[0].stem if len(sources) == 1 else f"{len(sources)} films"
        write_section(page, f"quality {name}", f"Quality: {name}", quality_section(results, command))
    if cfg.speed:
        say("\n" + speed_program().report(folder, ours, command, say, page, cfg.minutes))


def speed_program() -> Any:
    """``benchmarks.speed``, which is beside this script and not installed with the package.

    Raises:
        UserError: if it is not there.
    """
    try:
        from benchmarks import speed
    except ImportError as error:
        raise UserError(
            "speed=true, and evaluate.py without input=, need benchmarks/ of the repository.",
            "input= a film or a folder, without speed=; or python evaluate.py in a checkout.",
            ENVIRONMENT,
        ) from error
    return speed


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


def main(argv: Sequence[str] | None = None) -> None:
    """The command; a failure that the user can act on ends it with its own exit code, without a traceback."""
    yield_idle_cores()
    words = list(sys.argv[1:] if argv is None else argv)
    command = shlex.join(["python", "evaluate.py", *words])
    rest, paths = split_paths(words, PATHS)

    @hydra.main(config_path="conf", config_name="evaluate", version_base="1.3")
    def task(cfg: DictConfig) -> None:
        logging.getLogger().setLevel(logging.WARNING)
        try:
            run(cfg, paths, command)
        except (UserError, HydraException) as mistake:
            end(mistake)

    sys.argv[1:] = rest
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra's own mistakes come here instead of ending the program with code 1
    try:
        task()
    except HydraException as mistake:
        end(mistake)


def end(mistake: UserError | HydraException) -> NoReturn:
    """Prints the problem and the remedy, and ends the program."""
    error = mistake
    if not isinstance(error, UserError):
        written = yaml.safe_load((CONF / "evaluate.yaml").read_text(encoding="utf-8"))
        options = {*written, "model"} - {"defaults", "hydra"}
        error = explain(str(mistake), mistake.__cause__, "evaluate.py", options, models())
    sys.stderr.write(f"error: {error}\n")
    sys.exit(error.code)


if __name__ == "__main__":
    main()
