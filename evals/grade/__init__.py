"""From a recorded patch to a grade: the tests run in fresh containers, judged by the official and the strict grader.

`grader.Grader` is the way in, for `nightly` and `commands`. It reads a task and what an attempt left on disk, and may be
repeated at any time. Not covered: benchmarks that judge the state of a machine; a judge reads a test run's log (`judge`).
"""
