"""Run → record on disk → grade → score → compare → report. The only package that imports both others.

Its folders stand in the order in which data flows, and a folder imports from earlier ones only; CONTRIBUTING.md has the map,
and tests/test_architecture.py holds it. What passes from one stage to the next are files of a run directory (runs/README.md).
"""
