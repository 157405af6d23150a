"""Mutation check of what makes a verdict: `make mutants`. Not a part of the suite: it runs thousands of tests.

Each mutant is one small change in one place (`mutate`); the tests that run its line (`covering`), or with `--importers` the
test files that import its module or one that does, must notice it (`trial`). One that nobody notices is printed with its file and line: a
reader could be told that, and no test would fail. Those that change nothing are listed in `equivalent.yaml`, with the reason.
Not covered: strings, which are words for people; what is within an f-string; tests that need Docker or a real model.
"""
