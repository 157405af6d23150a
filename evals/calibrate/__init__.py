"""How often our intervals cover and our verdicts err: on public results and simulated runs. `python -m evals.calibrate`.

Nothing imports it, and it is not in the wheel. Not covered: whether a grade is right (`tests/exploits` attacks the graders).
"""
