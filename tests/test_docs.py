"""The documents keep to the program: commands, options and targets exist, and README's table is what was measured."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import yaml

from benchmarks.summary import NAMES
from interpolate import option_names
from vfi_pipeline.commands import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    str(path.relative_to(ROOT))
    for path in sorted([ROOT / "README.md", ROOT / "BENCHMARKS.md", *(ROOT / "docs").glob("*.md")])
    if path.name != "lab-notebook.md"  # it tells of options that were given up
]
PROGRAMS = r"(?:\.venv/bin/)?python (?:-m [\w.]+|[\w/]+\.py)|make(?= [a-z])|vfi(?= [a-z])"


def commands(text: str) -> list[list[str]]:
    """The words of each command in a document: lines that begin with a program, and code between backticks."""
    text = re.sub(r"\\\n\s*", " ", text)
    code = [line.strip().removeprefix("$ ") for line in text.splitlines()]
    code += re.findall(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)", text)
    lines = [" ".join(re.sub(r"\s#\s.*", "", line).split()) for line in code if re.match(PROGRAMS, line)]
    return [_words(line) for line in lines if "benchmarks.NAME" not in line]  # NAME stands for any of them


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # an apostrophe in a line of prose
        return line.split()


def programs(document: str) -> list[list[str]]:
    return commands((ROOT / document).read_text("utf-8"))


def names_in_configuration() -> set[str]:
    """Every key of every file of ``conf``, its groups and their choices; parameters of what the files build."""
    names = {path.name for path in (ROOT / "conf").iterdir() if path.is_dir()}

    def collect(node: object) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                names.add(str(key))
                collect(value)
        elif isinstance(node, list):
            for value in node:
                collect(value)

    for path in (ROOT / "conf").rglob("*.yaml"):
        collect(yaml.safe_load(path.read_text("utf-8")))
    return names


@pytest.mark.parametrize("document", DOCUMENTS)
def test_programs_modules_and_targets_exist(document):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for words in programs(document):
        program = words[0].removeprefix(".venv/bin/")
        if program == "make":
            named = [word for word in words[1:2] if "=" not in word]
            assert set(named) <= targets, words
        elif program == "vfi":
            assert words[1] in COMMANDS, words
        elif words[1] == "-m":
            assert words[2] in ("pip", "pytest", "mypy", "venv") or importlib.util.find_spec(words[2]), words
        else:
            assert (ROOT / words[1]).is_file(), words


@pytest.mark.parametrize("document", DOCUMENTS)
def test_options_of_modules_are_in_their_parsers(document):
    """``--page`` of ``python -m benchmarks.shots --page ...`` is a word of the module, or of the package's parser."""
    for words in programs(document):
        if words[1:2] == ["-m"] and words[2].split(".")[0] in ("benchmarks", "vfi_pipeline"):
            spec = importlib.util.find_spec(words[2])
            assert spec and spec.origin, words
            source = Path(spec.origin).read_text("utf-8")
            for word in words[3:]:
                if word.startswith("--") and len(word) > 2:
                    assert f'"{word.partition("=")[0]}"' in source, (words[2], word)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_options_of_the_commands_exist(document):
    options, _ = option_names()
    configured = names_in_configuration()
    for words in programs(document):
        program = words[0] if words[0] in ("vfi", "make") else words[1]
        command = words[1] if program == "vfi" else Path(program).stem
        if program == "make" or command not in ("interpolate", "tune", "train", "evaluate"):
            continue
        for word in words[2:]:
            match = re.fullmatch(r"\+*([\w./@]+)=.*", word, re.S)
            if match and command in ("interpolate", "tune"):
                assert match[1] in options or match[1].split(".")[0] == "model", (document, word)
            elif match:
                for part in re.split(r"[.@/]", match[1]):
                    assert part in configured, (document, word)


def tables(text: str) -> list[tuple[str, list[list[str]]]]:
    """(the heading above, rows of cells) of each table of a Markdown text."""
    found, heading, rows = [], "", []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip().strip("*") for cell in line.strip("|").split("|")])
        elif rows:
            found.append((heading, rows))
            rows = []
        if line.startswith("#"):
            heading = line.lstrip("# ")
    return found


def test_the_table_of_the_readme_is_what_benchmarks_measured():
    readme, page = ((ROOT / name).read_text("utf-8") for name in ("README.md", "BENCHMARKS.md"))
    summary = readme.split("<!-- summary: begin -->")[1].split("<!-- summary: end -->")[0]
    measuring = re.findall(r"^ {4}(python evaluate\.py .*)$", summary, re.M)
    ((_, rows),) = tables(summary)
    sets = list(dict.fromkeys(row[0] for row in rows[2:]))
    assert len(sets) == len(measuring) >= 2 and len(rows) > 4

    for title, command in zip(sets, measuring):
        (section,) = [part for part in re.split(r"<!-- [^:]+: begin -->", page) if f"`{command}`" in part]
        means = {}
        for heading, measured in tables(section):
            rate = re.search(r"(\d+)x: PSNR", heading)
            for row in measured:
                if rate and row[0] == "mean":
                    methods = [NAMES.get(name, name).strip("*") for name in measured[0][1:]]
                    means |= {(f"{rate[1]}x", name): cell for name, cell in zip(methods, row[1:])}
        for row in rows[2:]:
            if row[0] == title:
                for method, cell in zip(rows[0][2:], row[2:]):
                    assert cell == means.get((row[1], method), "-"), (title, row[1], method)


def test_the_readme_fits_one_screen_and_a_half_and_the_method_sixty_lines():
    readme, method = ((ROOT / name).read_text("utf-8") for name in ("README.md", "docs/method.md"))
    assert len(readme.splitlines()) <= 75 and len(re.findall(r"!\[", readme)) == 1
    assert len([line for line in method.splitlines() if not line.startswith("![")]) <= 60


def test_the_checks_above_can_fail():
    assert commands("`python -m benchmarks.nothing --page X`\n\n    make demo\nvfi interpolate input=a\n") == [
        ["make", "demo"], ["vfi", "interpolate", "input=a"], ["python", "-m", "benchmarks.nothing", "--page", "X"],
    ]  # fmt: skip
    assert "nonsense" not in names_in_configuration() and {"data", "root", "experiment"} <= names_in_configuration()
