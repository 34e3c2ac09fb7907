from __future__ import annotations

import os

import pytest

from vfi_pipeline.errors import UserError
from vfi_pipeline.page.roots import MOST_SHOWN, STATE, UPLOADS, Roots, is_unicode, safe_name, shown


@pytest.fixture
def places(tmp_path):
    """A root with a film, a folder and links, and a secret outside of it."""
    root, outside = tmp_path / "films", tmp_path / "outside"
    (root / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.mp4").write_bytes(b"secret")
    (root / "a.mp4").write_bytes(b"film")
    (root / "sub" / "b.mkv").write_bytes(b"film")
    (root / "link.mp4").symlink_to(outside / "secret.mp4")
    (root / "way.out").symlink_to(outside)
    (root / "within.mp4").symlink_to(root / "sub" / "b.mkv")
    return root, outside


def test_what_lies_below_a_root_is_given_without_links(places):
    root, _ = places
    roots = Roots([root])

    assert roots.inside(root / "a.mp4") == root.resolve() / "a.mp4"
    assert roots.inside(root / "within.mp4") == root.resolve() / "sub" / "b.mkv"
    assert roots.inside(root) == root.resolve()


@pytest.mark.parametrize(
    "path",
    [
        "{outside}/secret.mp4", "{root}/../outside/secret.mp4", "{root}/link.mp4", "{root}/way.out/secret.mp4",
        "{root}/sub/../../outside/secret.mp4", "/etc/passwd", "{root}/missing.mp4", "a.mp4", "", "{root}/a.mp4\0.txt",
        "{root}2/a.mp4", "file:{root}/a.mp4", "{root}/.vfi-queue/jobs/0001.json", "~", "{root}/" + "x" * 5000,
    ],
)  # fmt: skip
def test_everything_else_is_refused_in_two_lines(places, path):
    root, outside = places
    (root.parent / "films2").mkdir()
    (root.parent / "films2" / "a.mp4").write_bytes(b"")
    (root / STATE / "jobs").mkdir(parents=True)
    (root / STATE / "jobs" / "0001.json").write_bytes(b"{}")

    with pytest.raises(UserError, match="not below the folders") as error:
        Roots([root]).inside(path.format(root=root, outside=outside))

    assert "\n  Try: a file below" in str(error.value)


def test_what_exists_outside_and_what_does_not_are_refused_alike(places):
    root, outside = places
    told = []
    for name in ("secret.mp4", "nothing.mp4"):
        with pytest.raises(UserError) as error:
            Roots([root]).inside(outside / name)
        told.append(str(error.value).replace(name, "NAME"))

    assert told[0] == told[1]


def test_a_listing_offers_films_folders_and_pictures_and_nothing_that_leads_out(places):
    root, _ = places
    for name in ("10.png", "9.png", ".hidden.mp4", "notes.txt", "a.mp4.cuts.json"):
        (root / name).write_bytes(b"")
    (root / "a_60fps.mp4.vfi-work").mkdir()
    (root / STATE).mkdir()

    listing = Roots([root]).listing(root)

    assert listing.folders == ("sub",)
    assert listing.films == ("a.mp4", "within.mp4")
    assert listing.pictures == ("9.png", "10.png")
    assert listing.above is None
    assert Roots([root]).listing(root / "sub").above == root.resolve()


def test_a_link_as_a_root_is_where_it_points(places, tmp_path):
    root, _ = places
    (tmp_path / "alias").symlink_to(root)

    assert Roots([tmp_path / "alias", root]).folders == (root.resolve(),)


@pytest.mark.parametrize("wrong", [[], ["/nowhere/at/all"], ["{file}"]])
def test_roots_have_to_be_folders(places, wrong):
    root, _ = places
    with pytest.raises(UserError, match="folder"):
        Roots([name.format(file=root / "a.mp4") for name in wrong])


def test_long_folders_are_cut_off_and_say_so(tmp_path):
    for number in range(MOST_SHOWN + 7):
        (tmp_path / f"{number}.mp4").touch()

    listing = Roots([tmp_path]).listing(tmp_path)

    assert len(listing.films) == MOST_SHOWN and listing.more == 7


def test_names_that_are_no_unicode_are_counted_not_shown(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.mp4")).touch()
    except OSError:
        pytest.skip("this file system takes Unicode only")

    listing = Roots([tmp_path]).listing(tmp_path)

    assert listing.films == () and listing.unreadable == 1


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("film.mp4", "film.mp4"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\evil.mp4", "evil.mp4"),
        ("/abs/olute.mkv", "olute.mkv"),
        ("..", "film"),
        (".mp4", "mp4"),
        ("", "film"),
        (".hidden.mp4", "hidden.mp4"),
        ("a\nb\tc.mp4", "a_b_c.mp4"),
        ("a\0b.mp4", "a_b.mp4"),
        ("right\u202eto\u2066left.mp4", "right_to_left.mp4"),
        ("$(touch x) `id`; rm.mp4", "$(touch x) `id`; rm.mp4"),
        ("Ähre 映画.mp4", "Ähre 映画.mp4"),
        ("-i.mp4", "-i.mp4"),
    ],
)
def test_an_uploads_name_stays_in_its_folder(given, kept):
    assert safe_name(given) == kept


@pytest.mark.parametrize("given", ["x" * 500 + ".mp4", "映" * 300 + ".mkv", "x." + "y" * 400])
def test_long_names_are_cut_where_letters_end(given):
    name = safe_name(given)

    assert len(name.encode()) <= 150 and is_unicode(name) and "." in name


def test_uploads_never_replace_each_other(tmp_path):
    roots = Roots([tmp_path])
    first = roots.upload_name("a.mp4")
    first.touch()

    assert first == tmp_path.resolve() / UPLOADS / "a.mp4"
    assert roots.upload_name("a.mp4").name == "a-2.mp4"


def test_uploads_do_not_follow_a_link_out(tmp_path):
    root, outside = tmp_path / "films", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / UPLOADS).symlink_to(outside)

    with pytest.raises(UserError, match="leads out"):
        Roots([root]).upload_name("a.mp4")


def test_names_are_shown_on_one_line_and_without_tricks():
    assert shown("a\nb\u202e\x1b[31m.mp4") == "a\\nb\\u202e\\x1b[31m.mp4"
    assert shown(os.fsdecode(b"\xff")) == "\\udcff"
    assert shown("Ähre 映画.mp4") == "Ähre 映画.mp4"
