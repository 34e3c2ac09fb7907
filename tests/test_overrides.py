"""What is typed reaches the configuration as it was typed; what nobody knows gets a hint."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from vfi_pipeline.overrides import as_typed, hint, key_of, merged

PATHS = {"data.root", "ckpt_path", "data.source"}


def read(word, sweep=False, exists=lambda name: False):
    """What Hydra and OmegaConf make of a word after ``as_typed``."""
    (quoted,) = as_typed([word], PATHS, sweep, exists)
    parsed = OverridesParser.create().parse_override(quoted)
    if parsed.is_sweep_override():
        return [OverridesParser.create().parse_override(f"k={part}").value() for part in parsed.sweep_string_iterator()]
    return OmegaConf.to_container(OmegaConf.create({"v": parsed.value()}), resolve=True)["v"]


@given(st.text(alphabet="ab1/.=,'\"\\${}[]() :#@!*?;é%&|+<>^`-\t", min_size=1, max_size=12))
def test_the_name_of_an_existing_file_arrives_letter_by_letter(name):
    assert read(f"data.root={name}", exists=lambda _: True) == name


@pytest.mark.parametrize(
    "typed, arrives",
    [
        ("/films/a=b", "/films/a=b"),
        ("/films/a,b", "/films/a,b"),
        ("/films/a (1) [x] {y}: z", "/films/a (1) [x] {y}: z"),
        ("2024", "2024"),
        ("true", "true"),
        ("1e5", "1e5"),
        ("null", None),
        ("'/films/a=b'", "/films/a=b"),
        ("[/a,/b]", ["/a", "/b"]),
        ("[/films/a=b, /films/c d]", ["/films/a=b", "/films/c d"]),
        ("['/x,y',\"/z\"]", ["/x,y", "/z"]),
        ("[]", []),
    ],
)
def test_paths_and_lists_of_paths_are_taken_as_typed(typed, arrives):
    assert read(f"data.root={typed}") == arrives


def test_a_comma_in_a_list_belongs_to_a_name_if_that_exists():
    assert read("data.root=[/a,b,/c]", exists=lambda name: name == "/a,b") == ["/a,b", "/c"]


def test_a_comma_separates_in_a_sweep_unless_a_file_has_that_name():
    assert read("data.root=/a=1,/b", sweep=True) == ["/a=1", "/b"]
    assert read("data.root=/a,b", sweep=True, exists=lambda name: name == "/a,b") == "/a,b"


def test_interpolations_stay_and_digits_stay_digits(monkeypatch):
    monkeypatch.setenv("PLACE", "/films")
    assert read("data.root=${oc.env:PLACE}/a=b") == "/films/a=b"
    assert read("data.source=3") == 3
    assert as_typed(["steps=3", "name=a=b", "-m"], PATHS) == ["steps=3", "name=a=b", "-m"]


def test_a_run_that_goes_on_takes_the_later_word_of_two():
    earlier = ["experiment=digits_l2", "logger=wandb", "logger.name=x", "steps=10"]
    assert merged(earlier, ["steps=20", "logger=csv"]) == ["experiment=digits_l2", "steps=20", "logger=csv"]
    assert key_of("~callbacks.panels") == "callbacks.panels" and key_of("-m") == ""


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("epochs", "steps"), ("max_epochs", "steps"), ("lr", "optimizer.lr"),
        ("optimizer.learning_rate", "optimizer.lr"),
        ("step", "steps"), ("data.btch_size", "data.batch_size"), ("batch_size", "data.batch_size"), ("qwertz", None),
    ],
)  # fmt: skip
def test_an_unknown_name_gets_the_hint_that_fits(typed, meant):
    assert hint(typed, ["steps", "seed", "optimizer.lr", "data.batch_size", "data.root"]) == meant
