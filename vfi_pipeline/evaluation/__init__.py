"""How good made frames are: samples, methods, measures, tables. What ``evaluate.py`` and ``train.py`` need."""
