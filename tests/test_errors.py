"""The exit code of a program, and what it prints of a failure that its user can act on."""

import pytest

from vfi_pipeline.errors import BAD_INPUT, DONE, UserError, exit_code


def test_a_user_error_is_printed_with_its_remedy_and_gives_its_code(capsys):
    def run():
        raise UserError("a.mkv is damaged.", "copy it again.", BAD_INPUT)

    assert exit_code(run) == BAD_INPUT
    assert capsys.readouterr().err == "a.mkv is damaged.\n  Try: copy it again.\n"


def test_work_that_ends_well_prints_nothing(capsys):
    assert exit_code(lambda: "a result") == DONE and capsys.readouterr().err == ""


def test_any_other_error_is_a_fault_of_the_program():
    with pytest.raises(ZeroDivisionError):
        exit_code(lambda: 1 / 0)
