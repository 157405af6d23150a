"""What the records and grades of a run directory amount to: rows, scores with bounds, kinds of failure.

For every room that judges results (`verdict`, `nightly`, `calibrate`, `report`). It counts: which interval a rate has and
what a difference means is `verdict`'s. Reads only; nothing in here writes to a run.
"""
