"""How many source frames around its own a segment is judged with. Imports nothing, for those who plan."""

CONTEXT_BEFORE = 16
"""Frames before a segment's first source frame that the detectors want to see, so that a segment of a film is judged
as the whole film is: a stretch of repeats (with ``dedup``), and the changes that a cut is measured against."""

CONTEXT_AFTER = 32
"""The same behind the segment's last source frame."""
