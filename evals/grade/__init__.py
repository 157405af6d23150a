"""From a recorded patch to a grade: the tests run in fresh containers, judged by the official and the strict grader."""
