"""Fit a Warping Neural ODE: ``python train.py data.root=/films`` (``--help`` for more, docs/training-guide.md)."""

from __future__ import annotations

import itertools
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from vfi_pipeline.commands.wording import help_in_words_of, in_words_of, log_in_words_of
from vfi_pipeline.configuration import conf_folder
from vfi_pipeline.errors import DONE, INTERRUPTED, USAGE, UserError
from vfi_pipeline.extras import require
from vfi_pipeline.overrides import key_of
from vfi_pipeline.starting import quiet_start
from vfi_pipeline.threads import yield_idle_cores

log = logging.getLogger("train")

CONF = conf_folder()

PROGRAM = ["python", "train.py"]
"""How the program was called, for what it says."""


def run(cfg: DictConfig) -> float | None:
    """Builds what the configuration names and trains it; returns the monitored metric, for sweeps."""
    with quiet_start():
        import pytorch_lightning as pl

        from vfi_pipeline.commands.train_values import check_kinds
        from vfi_pipeline.training.command import begin
        from vfi_pipeline.training.explain import explain, silence_lightning
        from vfi_pipeline.training.resume import AtomicCheckpoints
        from vfi_pipeline.training.session import train
        from vfi_pipeline.training.stopping import stop_requests

    silence_lightning()
    typed = HydraConfig.get().overrides
    check_kinds(cfg, hydra.compose("train", choices(typed.task)))
    chosen = any(key_of(word) == "hydra.run.dir" for word in typed.hydra)
    with stop_requests("the same command starts again.") as stop:
        beginning = begin(Path(cfg.run_dir), cfg.ckpt_path, typed.task, chosen)
        folder, resume, words = beginning.folder, beginning.resume, beginning.words
        try:
            cfg = OmegaConf.create(beginning.settings(OmegaConf.to_container(cfg)))  # type: ignore[arg-type]
            folder.keep(OmegaConf.to_yaml(cfg), words)
            complete(cfg)
            settings: Any = OmegaConf.to_container(cfg)
            pl.seed_everything(cfg.seed, workers=True, verbose=False)
            try:
                config: Any = OmegaConf.to_container(cfg, resolve=True)
                data, module = instantiate(cfg.data), instantiate(cfg.training)
                callbacks = [instantiate(callback) for callback in (cfg.callbacks or {}).values() if callback]
                run_facts = {"run_id": resume.run_id, "logged": resume.logged} if resume else {"run_id": None}
                logger = (instantiate(cfg.logger, **run_facts) if cfg.logger else None) or False
                parts = {"callbacks": callbacks, "logger": logger, "plugins": [AtomicCheckpoints()]}
                trainer = instantiate(cfg.trainer, **parts, _convert_="all")
                referee = instantiate(cfg.referee) if cfg.referee else None
            except Exception as error:
                raise explain(error) from error
            try:
                metrics = train(
                    trainer, module, data, config, folder.path, resume, cfg.name, cfg.test, settings, words, stop,
                    referee,
                )  # fmt: skip
            except Exception as error:
                raise explain(error, running=True) from error
        finally:
            folder.release()
    return metrics.get((cfg.monitor or "").replace("val/", "test/"))


def choices(words: Sequence[str]) -> list[str]:
    """Those of the words that choose a group's option: what is composed of them has its default values."""
    parsed = OverridesParser.create().parse_overrides(list(words))
    return [word for word, override in zip(words, parsed) if (CONF / override.key_or_group).is_dir()]


def complete(cfg: DictConfig) -> None:
    """Puts toy data where ``debug=fdr`` finds none; UserError that names what else is missing, or cannot be."""
    from vfi_pipeline.commands.train_values import check_given, missing

    lacking, data = missing(cfg.data, "data"), cast(dict[str, Any], OmegaConf.to_container(cfg.data))
    if "pairs" in data and not (data["pairs"] or (data["first"] and data["last"])):
        lacking.append("data.pairs, or data.first and data.last")
    if cfg.toy and lacking:
        log.info("toy data stand in for data: %s", ", ".join(lacking))
        cfg.data = cfg.toy
        if OmegaConf.select(cfg, "training.ends") == []:  # toy pairs have no true frame between the two
            cfg.training.ends = [1.0]
    check_given(cfg)
    for key in ("steps", "validate_every", "checkpoint_every"):
        if not isinstance(cfg[key], int) or cfg[key] < 1:
            raise UserError(f"{key}={cfg[key]} is not a number of steps.", f"{key}= a whole number, 1 or more.")
    if cfg.minutes is not None:
        if isinstance(cfg.minutes, bool) or not isinstance(cfg.minutes, (int, float)):
            raise UserError(f"minutes={cfg.minutes} is no time to train.", "minutes= a number, such as 9 or 0.5.")
        cfg.trainer.max_steps = -1
    if cfg.mode not in ("min", "max"):
        raise UserError(f"mode={cfg.mode} is neither of the two.", "mode=max if more is better, or mode=min.")


@hydra.main(config_path=str(CONF), config_name="train", version_base="1.3")
def main(cfg: DictConfig) -> float | None:
    """The command; a failure that the user can act on ends it with its own exit code, without a traceback."""
    log_in_words_of(PROGRAM)
    require("train", "Training", "pytorch_lightning")
    try:
        return run(cfg)
    except UserError as error:
        from vfi_pipeline.training.run_folder import is_child

        if error.code == INTERRUPTED and is_child():
            sys.exit(DONE)  # at any other code Lightning kills the first process, which may still be saving
        log.error("%s", in_words_of(PROGRAM, str(error)))
        sys.exit(error.code)


def combinations(words: list[str]) -> tuple[list[list[str]], list[str]]:
    """The words of each run of a sweep, and the keys in which they differ."""
    parsed = OverridesParser.create().parse_overrides([word for word in words if not word.startswith("-")])
    choices = [
        [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        if override.is_sweep_override()
        else [override.input_line or ""]
        for override in parsed
    ]
    varied = [key_of(override.input_line or "") for override in parsed if override.is_sweep_override()]
    runs = itertools.product(*choices)
    return [[word for word in run if not key_of(word).startswith("hydra.sweep.")] for run in runs], varied


def sweep_folder(runs: list[list[str]], words: list[str]) -> Path:
    """Where the runs of a sweep go, as the first that can be composed says."""
    named = [word for word in words if key_of(word) == "hydra.sweep.dir"]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        for run_words in runs:
            try:
                cfg = hydra.compose("train", [*run_words, *named], return_hydra_config=True)
                return Path(cfg.hydra.sweep.dir)
            except HydraException:
                continue
    return Path("outputs/train/sweep")


def sweep(words: list[str]) -> int:
    """``-m``: every combination in a process of its own; returns the highest exit code."""
    from vfi_pipeline.training.sweep import sweep as run_all

    runs, varied = combinations(words)
    chosen = any(key_of(word) == "hydra.sweep.dir" for word in words)
    here = sys.modules["__main__"].__spec__
    again = [sys.executable, sys.argv[0]] if here is None else [sys.executable, "-m", here.name]
    return run_all(again, runs, varied, sweep_folder(runs, words), chosen)


def refuse(error: HydraException) -> None:
    """Ends the program over a word of the command line that the configuration does not know."""
    from vfi_pipeline.training.command import remedy, unreadable

    if isinstance(error, OverrideParseException):
        sys.stderr.write(in_words_of(PROGRAM, f"{unreadable(error.override, str(error))}\n"))
        sys.exit(USAGE)
    lines = [*str(error).splitlines(), *str(error.__cause__ or "").splitlines()]
    problem = " ".join(line for line in lines[:1] + [line for line in lines[1:] if "not in" in line])
    sys.stderr.write(in_words_of(PROGRAM, f"{UserError(problem, remedy(problem, CONF))}\n"))
    sys.exit(USAGE)


def start() -> None:
    """Reads the words, and trains once or sweeps."""
    from vfi_pipeline.training.command import is_sweep, words_for_hydra

    yield_idle_cores()
    words = words_for_hydra(sys.argv[1:], CONF)
    if is_sweep(words):
        sys.exit(sweep(words))
    sys.argv[1:] = words
    with help_in_words_of(PROGRAM, words):
        main()


def script() -> None:
    """The command of this process: ``sys.argv`` has its words."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra's own mistakes come here instead of ending the program with code 1
    sys.argv[0] = str(Path(sys.argv[0]).resolve())  # DDP starts this file again, wherever it was called from
    try:
        start()
    except HydraException as mistake:
        refuse(mistake)
    except UserError as mistake:
        sys.stderr.write(in_words_of(PROGRAM, f"{mistake}\n"))
        sys.exit(mistake.code)
    except KeyboardInterrupt:  # while the libraries are read: nobody waits for the signal yet
        sys.exit(INTERRUPTED)


if __name__ == "__main__":  # as ``vfi train`` starts it
    PROGRAM[:] = ["vfi", "train"]
    script()
