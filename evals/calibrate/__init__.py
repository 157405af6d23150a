"""Are the intervals as wide as they say, and the verdicts as rarely wrong? `python -m evals.calibrate`; not in the wheel's commands."""
