"""What is typed after ``train.py`` reaches the configuration as it was typed, or is refused in words of a user."""

import re
import shlex

import hydra
import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from omegaconf import OmegaConf

from vfi_pipeline.commands.train import CONF, combinations
from vfi_pipeline.errors import UserError
from vfi_pipeline.overrides import NUMBERS, key_of
from vfi_pipeline.training.command import PATHS, TEXTS, unreadable, words_for_hydra

EXPRESSIONS = [r"^(\d+)_", r"^person(\d+)", "^[^_./]+", r"^[a-z]*\d+", "my person [0-9]", r"^a{1,3}, (b|c)$", "folder"]

WORDS = {
    "name", "monitor", "mode", "ddp", "callbacks.best.filename", "callbacks.last.filename", "critic.norm",
    "data.augmentation", "data.batches", "field.conditioning", "field.reads", "field.unet.norm", "logger.entity",
    "logger.project", "logger.tags", "net.sides", "net.solver.method", "perceptual.layers", "perceptual.net",
    "perceptual.network.name", "perceptual.network.pooling", "trainer.accelerator", "trainer.precision",
    "training.capture", "training.pooling", "hydra.help.app_name", "hydra.help.template",
}  # fmt: skip
"""Keys whose text is one of a few words, or a name of the user's own."""

OTHERS = {
    "minutes", "toy", "referee", "hydra.output_subdir", "callbacks.panels", "data.around", "data.grow", "data.longest",
    "data.pool", "data.recipe", "data.stages", "field.unet.decoder", "logger.offline", "net.gate", "net.guide_span",
    "trainer.check_val_every_n_epoch", "trainer.gradient_clip_val", "training.clip", "training.ends",
    "training.teacher",
}  # fmt: skip
"""Keys that are null or empty somewhere, and hold numbers, truths, or values of a class otherwise."""


def composed(root, *typed):
    with hydra.initialize_config_dir(str(root / "conf"), version_base="1.3"):
        return hydra.compose("train", words_for_hydra(typed, root / "conf"))


def strings(values, prefix=""):
    """(dotted key, value) of what is a text, null, or a list that may hold texts, in a file of ``conf/``."""
    for key, value in values.items():
        if key == "defaults" or str(key).startswith("_"):
            continue
        if isinstance(value, dict):
            yield from strings(value, f"{prefix}{key}.")
        elif (
            value is None or isinstance(value, str) or value == [] or isinstance(value, list) and type(value[0]) is str
        ):
            yield f"{prefix}{key}", value


def test_every_key_that_may_hold_a_text_is_known_for_a_path_or_a_word(root):
    """Who adds a key with a path has to put it into ``PATHS``."""
    unknown = set()
    for file in [root / "conf" / "train.yaml", *sorted((root / "conf").glob("*/*.yaml"))]:
        group, text = file.parent.name, file.read_text(encoding="utf-8")
        if group == "model":  # of interpolate.py
            continue
        own = "" if group == "conf" or "@package _global_" in text else f"{group}."
        for key, value in strings(yaml.safe_load(text) or {}, own):
            refers = isinstance(value, str) and re.fullmatch(r"\$\{\w+(\.\w+)*\}", value)
            leads_to = {value[2:-1]} & (PATHS | TEXTS) if refers else True
            if leads_to and key not in PATHS | TEXTS | WORDS | OTHERS:
                unknown.add(key)
    assert not unknown
    assert not (PATHS | TEXTS) & (WORDS | OTHERS)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_regular_expression_is_taken_as_typed(root, expression):
    cfg = composed(root, "data=image_pairs", "data.first=n", "data.last=s", f"data.group={expression}")
    assert cfg.data.group == expression
    (word,) = words_for_hydra([f"+data.group={expression}"], root / "conf")
    assert OverridesParser.create().parse_override(word).value() == expression


def test_the_lines_that_docs_and_remedies_print_work(root):
    sources = ("docs/data.md", "conf/data/image_pairs.yaml", "vfi_pipeline/data/split.py")
    printed = [re.findall(r"data\.group='[^']+'", (root / source).read_text(encoding="utf-8")) for source in sources]
    assert all(printed)
    for line in sum(printed, []):
        (word,) = shlex.split(line)
        assert composed(root, "data=image_pairs", word).data.group == word.partition("=")[2]


def test_quotes_null_and_sweeps_of_an_expression_stay(root):
    for typed, arrives in (("'^(a)'", "^(a)"), ('"folder"', "folder"), ("null", None), ("${name}", "run"), ("5", "5")):
        assert composed(root, "data=image_pairs", f"data.group={typed}").data.group == arrives
    runs = {r"^(\d{1,2})_": 2, "folder,name": 4, "'^a,b',name": 4, "choice(folder,name)": 4}
    for typed, count in runs.items():
        words = words_for_hydra(["-m", f"data.group={typed}", "field=svf,time", "seed=1"], root / "conf")
        assert len(combinations(words)[0]) == count
        for run in combinations(words)[0]:  # each run reads its words once more
            again = words_for_hydra(run, root / "conf")
            assert [key_of(word) for word in again] == ["data.group", "field", "seed"]
            group = OverridesParser.create().parse_override(again[0]).value()
            assert group in (typed, "folder", "name", "^a,b")


@pytest.mark.parametrize("name", ["pic=1,a.png", "my pic (1).png", "/p/[x] {y}: z.png", "2024"])
def test_pictures_are_taken_as_typed(root, name):
    assert composed(root, "experiment=style", f"style.image={name}").training.image == name
    cfg = composed(root, "experiment=single_image", f"image={name}", f"primitive={name}")
    assert cfg.data.image == cfg.data.primitive == name


@pytest.mark.parametrize("key", sorted(PATHS - {"ckpt_path"}))
def test_every_path_is_taken_as_typed(root, key):
    for name in ("a=1, (b)/c.png", "super", "mosaic", "null"):
        (word,) = words_for_hydra([f"{key}={name}"], root / "conf")
        value = OverridesParser.create().parse_override(word).value()
        assert value == (None if name == "null" else name)
        assert name.startswith("a=") or word == f"{key}={name}"
    digit = OverridesParser.create().parse_override(words_for_hydra([f"{key}=3"], root / "conf")[0]).value()
    assert digit == (3 if key in NUMBERS else "3")


@pytest.mark.parametrize(
    "word",
    ["name=a=b", "name=é", "name=a;b", "name='it's'", 'name=a "b', "steps=[1,2", "name=a]", r"name=^(\d+", "name=a=\\",
     "name=sum(1)"],
)  # fmt: skip
def test_the_remedy_of_an_unreadable_value_can_be_pasted(word):
    with pytest.raises(OverrideParseException) as refused:
        OverridesParser.create().parse_overrides([word])
    problem, remedy = str(unreadable(refused.value.override, str(refused.value))).split("\n  Try: ")
    assert problem.startswith(f"{word} cannot be read") and "Lexer" not in problem
    example = shlex.split(re.search(r"shell: (.*?)\.( A list|$)", remedy)[1])
    assert len(example) == 1 and isinstance(OverridesParser.create().parse_override(example[0]).value(), str)


def test_a_word_without_a_value_says_so():
    with pytest.raises(OverrideParseException) as refused:
        OverridesParser.create().parse_overrides(["film.mp4"])
    assert "film.mp4 has no value" in str(unreadable("film.mp4", str(refused.value)))


def test_omegaconf_has_no_other_opinion_of_a_backslash(root):
    cfg = composed(root, "data=image_pairs", r"data.group=^\d\\_$")
    assert OmegaConf.to_container(cfg, resolve=False)["data"]["group"] == r"^\d\\_$"


@pytest.mark.parametrize(
    "word",
    ["logger=null", "logger=", "net=3", "trainer=true", "+data=1.5", "experiment=null", "scheduler='null'", "~logger"],
)
def test_a_group_without_a_name_is_told_its_choices(word):
    group = word.lstrip("+~").partition("=")[0]
    with pytest.raises(UserError) as refused:
        words_for_hydra([word], CONF)
    problem, remedy = str(refused.value).split("\n  Try: ")
    assert problem.startswith(f"{word} ") and remedy.startswith(f"{group}= one of ")
    choice = remedy.partition(" one of ")[2].rstrip(".").split(", ")[0]
    assert words_for_hydra([f"{group}={choice}", "~callbacks.panels"], CONF)
