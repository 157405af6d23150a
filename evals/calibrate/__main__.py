"""`python -m evals.calibrate --out calibration.md`."""

from evals.calibrate.main import main

main()
