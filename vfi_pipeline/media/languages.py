"""ISO 639-2 codes: twenty languages have two, and containers write one or the other."""

from __future__ import annotations

# Bibliographic code (of the English name) -> terminological code (of the language's own): ISO 639-2, annex.
_TERMINOLOGICAL = {
    "alb": "sqi", "arm": "hye", "baq": "eus", "bur": "mya", "chi": "zho", "cze": "ces", "dut": "nld", "fre": "fra",
    "geo": "kat", "ger": "deu", "gre": "ell", "ice": "isl", "mac": "mkd", "mao": "mri", "may": "msa", "per": "fas",
    "rum": "ron", "slo": "slk", "tib": "bod", "wel": "cym",
}  # fmt: skip
_BIBLIOGRAPHIC = {own: english for english, own in _TERMINOLOGICAL.items()}


def one_code(code: str) -> str:
    """The terminological one of a language's codes; any other text as it is."""
    return _TERMINOLOGICAL.get(code, code)


def other_code(code: str) -> str | None:
    """The language's other code, if it has two."""
    return _BIBLIOGRAPHIC.get(code) or _TERMINOLOGICAL.get(code)


def is_named(code: str | None) -> bool:
    """Whether this is a code of three letters that says what language it is."""
    return code is not None and len(code) == 3 and code != "und"
