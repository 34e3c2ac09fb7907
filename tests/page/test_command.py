from __future__ import annotations

import subprocess
import sys

import pytest

from vfi_pipeline.errors import ENVIRONMENT, USAGE, UserError
from vfi_pipeline.page import command
from vfi_pipeline.page.command import PASSWORD, Choices, main, read_choices, size


def test_it_serves_this_machine_only_unless_told_otherwise():
    assert read_choices(["--root", "/films"], None) == Choices(("/films",), "127.0.0.1", 7860, None, 20_000_000_000)


def test_several_roots_and_limits():
    choices = read_choices(["--root", "/a", "--root=/b", "--port", "0", "--max-upload", "500MB"], None)

    assert choices.roots == ("/a", "/b") and choices.port == 0 and choices.max_upload == 500_000_000


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "films.example", ""])
def test_others_are_let_in_only_with_a_password(host):
    with pytest.raises(UserError, match="no password") as error:
        read_choices(["--root", "/a", "--host", host], None)

    assert str(error.value).count("\n") == 1 and "\n  Try: --password-file" in str(error.value)
    assert read_choices(["--root", "/a", "--host", host], "long enough").password == "long enough"


def test_the_password_comes_from_a_file_the_environment_or_the_terminal(tmp_path):
    file = tmp_path / "password"
    file.write_text("from the file\nsecond line\n")
    away = ["--root", "/a", "--host", "0.0.0.0"]

    assert read_choices([*away, "--password-file", str(file)], "from outside").password == "from the file"
    assert read_choices(away, "from outside", lambda: "typed in").password == "from outside"
    assert read_choices(away, None, lambda: "typed in here").password == "typed in here"
    assert read_choices(["--root", "/a"], "from outside").password == "from outside"


@pytest.mark.parametrize("password", ["1", "1234567"])
def test_short_passwords_are_refused(password):
    with pytest.raises(UserError, match="characters"):
        read_choices(["--root", "/a"], password)


@pytest.mark.parametrize("content", [None, "", "\nsecond line", b"\xff\xfe"])
def test_a_password_file_has_to_hold_one(tmp_path, content):
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as error:
        read_choices(["--root", "/a", "--password-file", str(file)], None)

    assert error.value.code == ENVIRONMENT


@pytest.mark.parametrize("argv", [[], ["--port", "x", "--root", "/a"], ["--share"], ["--root"], ["film.mp4"]])
def test_mistakes_are_told_in_two_lines(argv, capsys):
    assert main(argv) == USAGE

    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 2 and "\n  Try: " in told


@pytest.mark.parametrize(
    ("text", "count"),
    [("20GB", 2 * 10**10), ("500mb", 5 * 10**8), ("1.5 GB", 1_500_000_000), ("1000", 1000), ("2TB", 2 * 10**12),
     ("3 kB", 3000)],
)  # fmt: skip
def test_sizes_are_read_as_people_write_them(text, count):
    assert size(text) == count


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "0", "1e9", "a lot", "20 films", "nan"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UserError, match="not a size"):
        size(text)


def test_settings_of_gradio_in_the_environment_are_not_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_ALLOWED_PATHS", "/")
    monkeypatch.setenv("GRADIO_SHARE", "True")
    monkeypatch.setenv("GRADIO_TEMP_DIR", "/tmp")
    command.prepare_gradio(tmp_path / "temporary")
    import os

    assert "GRADIO_ALLOWED_PATHS" not in os.environ
    assert os.environ["GRADIO_SHARE"] == "False" and os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert os.environ["GRADIO_TEMP_DIR"] == str(tmp_path / "temporary")
    assert (tmp_path / "temporary").stat().st_mode & 0o77 == 0


def test_without_gradio_the_line_to_type_is_told(tmp_path):
    script = (
        "import sys; sys.modules['gradio'] = None; from vfi_pipeline.page.command import main; "
        f"sys.exit(main(['--root', {str(tmp_path)!r}, '--port', '0']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)

    assert done.returncode == ENVIRONMENT
    assert done.stderr.startswith("error: The page needs gradio") and "\n  Try: pip install" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_root_that_is_missing_is_told(capsys):
    assert main(["--root", "/nowhere/at/all"]) == 2
    assert "--root /nowhere/at/all is no folder" in capsys.readouterr().err


def test_the_password_stands_in_no_process_list():
    assert "--password" not in {word.split("=")[0] for word in command.argument_parser().format_help().split()}
    assert PASSWORD in command.argument_parser().format_help()
