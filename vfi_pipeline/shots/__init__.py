"""Where shots begin (``cuts``) and which frames repeat the picture before them (``duplicates``, ``stillness``).

One detector each, for the films that are interpolated and for those that data sets are drawn from. Constants are fields
of ``CutRule`` and ``StillnessRule``; ``python -m benchmarks.shots`` fits them and measures them on clips that were kept
apart, beside PySceneDetect (BENCHMARKS.md).
"""
