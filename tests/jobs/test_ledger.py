"""A batch with ``overwrite=true`` that was stopped does not make again what it had made."""

from __future__ import annotations

import json
import os

import pytest

from vfi_pipeline.jobs.ledger import NAME, Ledger

FACTS = {"input.size": "10", "crf": "16"}


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "a_60fps.mp4"
    path.write_bytes(b"film")
    return path


def test_what_was_entered_is_known_to_the_next_run(target):
    Ledger().enter(target, FACTS)
    assert Ledger().has(target, FACTS)
    assert not Ledger().has(target.with_name("b_60fps.mp4"), FACTS)


def test_other_settings_or_another_output_are_not_the_same(target):
    Ledger().enter(target, FACTS)
    assert not Ledger().has(target, {**FACTS, "crf": "20"})
    os.utime(target, ns=(1, 1))
    assert not Ledger().has(target, FACTS)
    target.unlink()
    assert not Ledger().has(target, FACTS)


def test_a_closed_ledger_knows_nothing(target):
    ledger = Ledger()
    ledger.enter(target, FACTS)
    ledger.close()
    assert not (target.parent / NAME).exists() and not Ledger().has(target, FACTS)


@pytest.mark.parametrize("damage", [b"", b"[]", b"7", b"\xff", b'{"a": 7}', b"[" * 100_000])
def test_a_damaged_ledger_knows_nothing(target, damage):
    (target.parent / NAME).write_bytes(damage)
    ledger = Ledger()
    assert not ledger.has(target, FACTS)
    ledger.enter(target, FACTS)
    assert list(json.loads((target.parent / NAME).read_bytes())) == [str(target)]
