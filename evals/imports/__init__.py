"""Results that others made, as run directories: `asclaimed import`.

Reading and writing only. Nothing is graded here; every verdict keeps the name of the grader that gave it, and what a source
does not say stays unknown: an attempt without a verdict is not a failed one.
"""
