"""What is typed about pictures, and what is refused."""

from fractions import Fraction as F

import pytest

from vfi_pipeline.apps.options import as_film_options, asks_for_pictures, number, read_picture_options
from vfi_pipeline.errors import UserError


@pytest.mark.parametrize(
    ("text", "value"), [("0.37", F(37, 100)), ("-1/3", F(-1, 3)), ("1e-6", F(1, 10**6)), (".5", F(1, 2)), ("+2", F(2))]
)
def test_numbers_are_exact(text, value):
    assert number("t", text) == value


@pytest.mark.parametrize("text", ["", "x", "1/0", "nan", "inf", "1e999", "1_0", "9" * 40, "0x1", "1//2", "--1"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(UserError, match="is not a number"):
        number("t", text)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "How long"),
        ({"duration": "2", "frames": "4"}, "both given"),
        ({"duration": "0"}, "not a length of time"),
        ({"durations": "[1,0]"}, "not a length of time"),
        ({"durations": "[1,"}, "lacks a bracket"),
        ({"t": "[]"}, "not a list"),
        ({"t": "0.5", "hold_last": "1"}, "no meaning beside t="),
        ({"duration": "1", "easing": "bouncy"}, "not known"),
        ({"duration": "1", "size": "big"}, "not a size"),
        ({"duration": "1", "fit_size": "zoom"}, "not known"),
        ({"duration": "1", "strength": "0"}, "leads nowhere"),
        ({"duration": "1", "strength": "[1,1]"}, "leads nowhere"),
        ({"duration": "1", "sheet": "out.txt"}, "not a picture's name"),
        ({"duration": "1", "seed": "-1"}, "whole number"),
    ],
)
def test_mistakes_name_the_option(given, problem):
    with pytest.raises(UserError, match=problem):
        read_picture_options(given)


def test_a_rate_alone_is_about_films_and_a_duration_about_pictures():
    assert not asks_for_pictures({"fps": "60", "seed": "1"}, None)
    assert not asks_for_pictures({"fps": "60", "duration": "null"}, "flow")
    assert asks_for_pictures({"fps": "60", "duration": "2"}, "flow")
    assert asks_for_pictures({"t": "0.5"}, None)
    assert asks_for_pictures({}, "morph") and asks_for_pictures({"fps": "60"}, "fit")


def test_options_of_films_are_refused_beside_those_of_pictures():
    with pytest.raises(UserError, match="slowmo= is for films, and duration= animates"):
        as_film_options({}, {"duration": "2", "slowmo": "4"})


def test_pictures_have_a_rate_and_a_name_unless_told():
    assert as_film_options({"fps": None, "name": "x"}, {"t": "0"}) == {"fps": "30", "name": "x"}
