"""Measure made frames against true ones: ``python evaluate.py input=clips rates=[2,8]`` (``--help`` for more)."""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from vfi_pipeline.errors import USAGE, UserError
from vfi_pipeline.overrides import as_typed

CONF = Path(__file__).resolve().parent / "conf"
PATHS = ("input", "output", "page", "model.weights")  # taken as typed
TYPED = sys.argv[1:]


def say(text: str) -> None:
    """A line of the result, on standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run(cfg: DictConfig) -> None:
    """Builds the methods that the configuration names, measures them, and writes the tables."""
    from vfi_pipeline.bench import speed
    from vfi_pipeline.bench.page import write_section
    from vfi_pipeline.bench.quality import COMPARE, evaluate
    from vfi_pipeline.bench.report import markdown, quality_section, save
    from vfi_pipeline.bench.rivals import RIVALS, by_model, rival
    from vfi_pipeline.bench.samples import as_pictures, samples
    from vfi_pipeline.nets.perceptual import perceptual_or_none

    chosen = HydraConfig.get().runtime.choices["model"]
    models = {path.stem for path in (CONF / "model").glob("*.yaml")}
    ours = {chosen: hydra.utils.instantiate(cfg.model)}
    methods = {chosen: by_model(ours[chosen])}
    for name in cfg.methods:
        if name not in methods and name in RIVALS:
            methods[name] = rival(name)
        elif name not in methods and name in models:
            ours[name] = hydra.utils.instantiate(OmegaConf.load(CONF / "model" / f"{name}.yaml"))
            methods[name] = by_model(ours[name])
        elif name not in methods:
            known = ", ".join(sorted({*RIVALS, *models}))
            raise UserError(f"No method is called {name!r}.", f"methods= some of {known}.", USAGE)
    rates = [int(rate) for rate in cfg.rates]
    if not rates or min(rates) < 2 or (cfg.frames is not None and cfg.frames <= min(rates)):
        problem = f"rates={rates} and frames={cfg.frames} leave no frame to make."
        raise UserError(problem, "rates=[2,8] frames=33.", USAGE)
    command = shlex.join(["python", "evaluate.py", *TYPED])
    folder = Path(cfg.output).expanduser()
    source = Path(cfg.input).expanduser() if cfg.input else speed.demo_film(folder)
    if cfg.compare not in COMPARE:
        raise UserError(
            f"compare={cfg.compare} is not known.", " or ".join(f"compare={name}" for name in COMPARE), USAGE
        )
    found = samples(source, cfg.layout, cfg.frames)
    if cfg.compare == "papers":
        found = [as_pictures(sample) for sample in found]
    lpips = perceptual_or_none() if cfg.lpips else None
    settings = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(settings, dict)
    results = evaluate(
        found, methods, rates, lpips, cfg.temporal, cfg.pictures, say,
        after=lambda so_far: None if len(found) == 1 else save(so_far, folder, command, settings, unfinished=True),
        compare=cfg.compare,
    )  # fmt: skip
    text = markdown(results, command)
    say("\n" + text)
    for path in save(results, folder, command, settings)[:3]:
        say(f"  {path}")
    page = Path(cfg.page).expanduser() if cfg.page else None
    if page:
        write_section(page, f"quality {source.stem}", f"Quality: {source.stem}", quality_section(results, command))
    if cfg.speed:
        say("\n" + speed.report(folder, ours, command, say, page, cfg.minutes))


@hydra.main(config_path="conf", config_name="evaluate", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """The command; a failure that the user can act on ends it with its own exit code, without a traceback."""
    logging.getLogger().setLevel(logging.WARNING)
    try:
        run(cfg)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.code)


if __name__ == "__main__":
    sys.argv[1:] = as_typed(TYPED, PATHS)
    main()
