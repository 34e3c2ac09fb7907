"""``vfi app --root FOLDER``: reads its options, checks them, starts the page."""

from __future__ import annotations

import argparse
import getpass
import logging
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from vfi_pipeline.errors import DONE, ENVIRONMENT, INTERRUPTED, USAGE, UserError
from vfi_pipeline.extras import lacking
from vfi_pipeline.page.helper import Helper
from vfi_pipeline.page.queue import Queue
from vfi_pipeline.page.roots import Roots
from vfi_pipeline.page.runner import Runner, program
from vfi_pipeline.page.server import LOCAL, Guard, application, is_local, serve

log = logging.getLogger(__name__)

PASSWORD = "VFI_APP_PASSWORD"
SHORTEST_PASSWORD = 8
HELP = "vfi app --help"


@dataclass(frozen=True)
class Choices:
    """The options of the page, checked."""

    roots: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 7860
    password: str | None = None
    max_upload: int = 20_000_000_000


class _Parser(argparse.ArgumentParser):
    """Tells a mistake in two lines."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message[:1].upper()}{message[1:]}.", HELP, USAGE)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("vfi_pipeline").setLevel(logging.INFO)
    try:
        choices = read_choices(list(sys.argv[1:] if argv is None else argv), os.environ.get(PASSWORD), _asked)
        start(choices)
        return DONE
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.code
    except KeyboardInterrupt:
        return INTERRUPTED


def read_choices(argv: Sequence[str], environment: str | None, ask: Callable[[], str | None] = lambda: None) -> Choices:
    """The options that were typed.

    Args:
        environment: the password from the environment, if there is one.
        ask: asks for a password; None: nobody can be asked.

    Raises:
        UserError: if one is wrong, or the page would be open to others without a password.
    """
    given = argument_parser().parse_args(list(argv))
    if not given.root:
        raise UserError("No folder was named that the page may use.", "--root /path/to/films")
    password = _password(given.password_file, environment)
    if password is None and not is_local(given.host):
        password = ask()
        if password is None:
            raise UserError(
                f"--host {given.host} opens the page to other machines, and there is no password.",
                f"--password-file FILE or the variable {PASSWORD}; without --host only this machine can reach it.",
            )
    if password is not None and len(password) < SHORTEST_PASSWORD:
        raise UserError(
            f"The password has {len(password)} characters.",
            f"one of {SHORTEST_PASSWORD} or more, such as a short sentence.",
        )
    return Choices(tuple(given.root), given.host, given.port, password, size(given.max_upload))


def argument_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="vfi app", description="Serves the page. Everything it reads and writes is below --root.")
    parser.add_argument(
        "--root", action="append", metavar="FOLDER", help="a folder of films; may be given several times"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to serve on; others than this machine's need a password"
    )
    parser.add_argument("--port", type=int, default=7860, help="0 takes a free one")
    parser.add_argument("--password-file", metavar="FILE", help=f"its first line; or the variable {PASSWORD}")
    parser.add_argument("--max-upload", default="20GB", metavar="SIZE", help="of one dropped file: 500MB, 20GB")
    return parser


def size(text: str) -> int:
    """Bytes: ``500MB``, ``20GB``, ``1.5 GB``, ``1000``.

    Raises:
        UserError: if it is no size.
    """
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([kmgt]?)i?b?", text.strip().lower(), re.ASCII)
    if not match or float(match[1]) <= 0:
        raise UserError(f"--max-upload {text} is not a size.", "--max-upload 20GB or --max-upload 500MB.")
    return round(float(match[1]) * 1000 ** " kmgt".index(match[2] or " "))


def _password(file: str | None, environment: str | None) -> str | None:
    if file is None:
        return environment or None
    try:
        with open(file, encoding="utf-8") as opened:
            password = opened.readline(1000).rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise UserError(f"--password-file {file} cannot be read ({error}).", "check the name.", ENVIRONMENT) from error
    if not password:
        raise UserError(f"The first line of {file} is empty.", "write the password there.", ENVIRONMENT)
    return password


def _asked() -> str | None:
    if not sys.stdin.isatty():
        return None
    try:
        return getpass.getpass("Password for the page: ") or None
    except EOFError:
        return None


def start(choices: Choices) -> None:
    """Serves the page until the process is asked to end.

    Raises:
        UserError: if something is missing or taken.
    """
    roots = Roots(choices.roots)
    command = program()
    queue = Queue(roots.state)
    temporary = roots.state / "temporary"
    prepare_gradio(temporary)
    try:
        from vfi_pipeline.page import view
    except ImportError as error:
        queue.close()
        raise lacking("The page", [error.name or str(error)], "app") from error
    runner, looker, converter = Runner(queue, command), Helper(warm=True), Helper()
    page = view.page(roots, queue, looker, converter, temporary)
    app = application(lambda bare: view.mounted(bare, page, choices.max_upload), queue, roots)
    local = is_local(choices.host)
    guarded = Guard(
        app,
        password=choices.password,
        # With a password a stranger's page gets nothing anyway, and a proxy may serve the page under any name.
        hosts=LOCAL if local and choices.password is None else None,
        temporary=temporary,
        max_upload=choices.max_upload,
    )

    def started(port: int) -> None:
        host = f"[{choices.host}]" if ":" in choices.host else choices.host
        sys.stdout.write(f"The page is at http://{host}:{port}/ and may use {', '.join(map(str, roots.folders))}.\n")
        if choices.password is not None and not local:
            sys.stdout.write("Passwords and films go over the net as they are: put a proxy with HTTPS before it.\n")
        sys.stdout.flush()

    # uvicorn stops in good order and then raises the signal again: that must not end us before the job is told.
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    runner.start()
    try:
        serve(guarded, choices.host, choices.port, started)
    except KeyboardInterrupt:
        pass
    finally:
        runner.close()
        looker.close()
        converter.close()
        queue.close()
        shutil.rmtree(temporary, ignore_errors=True)


def prepare_gradio(temporary: Path) -> None:
    """Gradio reads its settings from the environment when it is imported: none of a stranger's, and nothing leaves."""
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700)
    os.environ |= {
        "GRADIO_TEMP_DIR": str(temporary),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_SHARE": "False",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
