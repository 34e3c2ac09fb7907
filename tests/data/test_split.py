"""Three parts that share nothing: no person, no picture, no moment."""

from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfi_pipeline.data.pairs import Pair, groups_of
from vfi_pipeline.data.split import PARTS, group_of, split_groups, split_sides, time_part
from vfi_pipeline.errors import UserError

names = st.lists(st.text("abc123/_", min_size=1, max_size=6), min_size=2, max_size=40, unique=True)


@given(names, st.floats(0.01, 0.45), st.floats(0.0, 0.45))
def test_every_group_is_in_one_part_and_no_part_is_empty(groups, val_share, test_share):
    parts = split_groups(groups, val_share, test_share)

    assert sorted(sum(parts.values(), [])) == sorted(groups)
    assert parts["train"] and parts["val"] and bool(parts["test"]) == (test_share > 0 and len(groups) > 2)
    assert split_groups(reversed(groups), val_share, test_share) == parts


def test_nothing_is_kept_back_only_on_purpose():
    assert split_groups(["a"], 0.0, 0.0) == {"train": ["a"], "val": [], "test": []}
    with pytest.raises(UserError, match=r"one group \(a\)"):
        split_groups(["a"], 0.1, 0.1)
    with pytest.raises(UserError, match="leave nothing to train on"):
        split_groups(["a", "b"], 0.5, 0.5)


@given(names, names)
def test_a_person_in_both_sets_is_in_one_part_on_either_side(first, last):
    if len(set(first) - set(last)) == 1 or len(set(last) - set(first)) == 1:
        return  # one group alone cannot be split: an error of its own
    parts = split_sides(first, last, 0.2, 0.2)

    for a in PARTS:
        for b in PARTS:
            if a != b:
                assert not {first[k] for k in parts[a][0]} & {last[k] for k in parts[b][1]}
    for side, count in ((0, len(first)), (1, len(last))):
        assert sorted(sum((parts[part][side] for part in PARTS), [])) == list(range(count))


def test_the_rule_for_groups_is_a_folder_a_name_or_a_pattern():
    path = PurePath("anna/anna_03.png")

    assert group_of(path, "folder") == "anna" and group_of(path, "name") == "anna/anna_03"
    assert group_of(path, r"(\w+)_\d+") == "anna" and group_of(path, r"\d+") == "03"
    with pytest.raises(UserError, match="does not match"):
        group_of(path, "zzz")
    with pytest.raises(UserError, match="no regular expression"):
        group_of(path, "(")


def pair(first, last, group=None):
    return Pair(Path("/x") / first, Path("/x") / last, (PurePath(first), PurePath(last)), group)


def test_pairs_are_grouped_by_column_folder_or_name():
    assert groups_of([pair("a.png", "b.png", "p1"), pair("c.png", "d.png", "p1")], None) == ["p1", "p1"]
    people = [pair("anna/1.png", "anna/2.png"), pair("anna/3.png", "anna/4.png"), pair("bob/1.png", "bob/2.png")]
    assert groups_of(people, None) == ["anna", "anna", "bob"]
    sides = groups_of([pair("neutral/a.png", "smiling/a.png"), pair("neutral/b.png", "smiling/b.png")], None)
    assert len(set(sides)) == 2
    by_pattern = groups_of([pair("p1_a.png", "p1_b.png"), pair("p2_a.png", "p2_b.png")], r"p\d")
    assert by_pattern == ["p1", "p2"]
    with pytest.raises(UserError, match="third column"):
        groups_of([pair("a.png", "b.png", "p"), pair("c.png", "d.png")], "column")


def test_pairs_with_a_picture_in_common_are_one_group_directly_or_through_others():
    found = groups_of([pair("a", "b"), pair("c", "d"), pair("b", "e"), pair("e", "c"), pair("x", "y")], None)

    assert len(set(found[:4])) == 1 and found[4] != found[0]


@pytest.mark.parametrize("count, share, gap", [(300, 0.1, 12), (1000, 0.1, 4), (90, 0.2, 3)])
def test_a_film_is_split_by_time_with_gaps(count, share, gap):
    train, val, test = (time_part(count, part, share, gap) for part in PARTS)

    assert train[0] == 0 and test[1] == count
    assert train[1] < val[0] and val[1] < test[0]
    assert min(val[0] - train[1], test[0] - val[1]) >= gap
    assert val[1] - val[0] == test[1] - test[0] == round(share * count)
