"""What Hydra does not see of a command line, and what its complaints become."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfi_pipeline.errors import BAD_INPUT, USAGE, UserError
from vfi_pipeline.jobs.hydra_line import explain, split_paths

OPTIONS, MODELS = {"rates", "frames", "input", "model"}, ["flow", "fit"]


@given(st.text())
def test_the_name_of_a_file_is_any_text(text):
    left, taken = split_paths(["model=fit", f"input={text}", "methods=[a,b]"], ("input", "output"))
    assert left == ["model=fit", "methods=[a,b]"]
    assert taken == {"input": None if text == "null" else text}


def test_only_whole_keys_count_and_the_last_of_several():
    words = ["xinput=a", "--help", "input", "input=a", "model.weights=b=c,d", "input=b"]
    assert split_paths(words, ("input", "model.weights")) == (
        ["xinput=a", "--help", "input"],
        {"input": "b", "model.weights": "b=c,d"},
    )


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("Ambiguous value for argument 'rates=2,8'\n1. To use it as a list...", "rates=2,8 is several", "rates=[2,8]"),
        ("Could not override 'rate'.\nTo append ...", "no option 'rate'", "rates (python evaluate.py --help"),
        ("In 'evaluate': Could not find 'model/flw'\n\nAvailable options", "no model 'flw'", "flow"),
        ("mismatched input '='\nSee ...", "mismatched input '='", "--cfg job shows"),
    ],
)
def test_complaints_become_a_problem_and_a_remedy(text, problem, remedy):
    error = explain(text, None, "evaluate.py", OPTIONS, MODELS)
    said, tried, code = error.args
    assert problem in said and remedy in tried and code == USAGE and "\n" not in said + tried


def test_a_models_own_words_come_through():
    own = UserError("weights=x is not there.", "another file.", BAD_INPUT)
    assert explain("Error in call to target", own, "evaluate.py", OPTIONS, MODELS) is own
    refused = explain("Error in call to target", ValueError("no quality 'x'"), "evaluate.py", OPTIONS, MODELS)
    assert "no quality 'x'" in refused.args[0]
