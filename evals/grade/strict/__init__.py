"""The strict grader: a verdict that the tested code cannot write, and negative controls for every pass.

    strict_verdict(task, eval_script, patch, image_id=…, official=…, run_tests=…, calibrations=…) -> StrictVerdict

The tested code runs as the same user, in the same process as the tests: no reporter inside can be trusted for
itself. So a pass counts only if the same patch FAILS when the tests are made to fail (`mutate`), where the gold
patch fails too (`baseline`). What remains open is written at the top of `verdict`.
"""

from evals.grade.strict.types import StrictVerdict

__all__ = ["StrictVerdict"]
