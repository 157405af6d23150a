"""The strict grader: a verdict that the tested code cannot write.

    strict_verdict(task, eval_script, patch, image_id=…, official=…, run_tests=…, calibrations=…) -> StrictVerdict

**The problem.** The tested code runs as the same user, in the same process as the tests; no reporter inside can be
trusted for itself. A control (the same patch must FAIL where tests are broken) helps only as long as nobody can tell
it from the real run, and separate runs can be told apart: by order, by clock, by the text of the tests.

**The design.** One mixed run (`mixed`). Each FAIL_TO_PASS function, and a secret sample of PASS_TO_PASS, stands in the
files several times under names of equal form (`variants`). A copy asks for one of several values that could as well stand
there, or for a set of them (`sites`, `values`, `codes`), the true ones among them; all of them are written anew in the same
way. Where a test expects no value, a condition is to hold or not to hold (`relations`). A pass needs every true copy to
pass and every false one to fail, in that one process. Who forces passes passes the false ones; who behaves fails the true
ones; who wants to tell them apart must know the answer, which is the task. Which copy does what is known to the host alone,
from gold's run of the same files (`baseline`); a false copy that passes there says nothing. Memory across runs, clocks and
dice are of no use: there is one run. FAIL_TO_PASS functions that bear no copies (no assertion that is known here, or a
true copy fails on gold) stay as they are and get broken bodies in a run of their own (`negative_controls`); the runs
come one after the other in an order that is drawn, and now and then one of them twice.

**Official comes first**, always: strict costs as much again and is had for official passes alone. To draw that order, too,
would run strict on half of all failures and stop nobody: no verdict compares the two runs. Who cheats in the first alone
fails the true copies of the second; who cheats in the second alone has failed officially; that the second is a mixed run
its files say anyway, and which copies are true they do not.

**The bound.** With n values for each row of each copied FAIL_TO_PASS test, a cheat that knows everything but the answers,
this grader included, picks the right ones with the product of 1/n. Each test's n is such that this is 1 in 1,024 at most, where
their values have room for it and the run does not become slow, and the copies cost least (`sizes`, `drawing`); sets tell n
values apart in about log2(n) copies. A
cheat that throws coins has 1/2 for each copy. Values are not all as likely: who knows what tests expect bets on 0, 1 and
the empty list, so one of these counts as one of two, and any other number below ten as one of eight at most. Relations
do not count: tests assert more often than they deny, and a reader who works out what a copy asks for may bet on that. Each
grade says its bound; `tasks check` and reports list the tasks where it is worse than 1 in 1,000: there the strongest cheat
that we know, which reads copies as their maker does (`tests/exploits/decoder.py`), does get through.

**What remains open.**
* A task whose FAIL_TO_PASS tests all expect no value (true or false, one computed thing equal to another) stops cheats
  that force passes, but not one that parses the copies and bets.
* A reader who understands the test is on the way to solve it: words of the answer may stand in the question.
* Values are drawn as tests expect them, as well as that is known: `make exploits` prints how often a classifier that has
  both copies before it finds the true one.
* A cheat that breaks PASS_TO_PASS tests outside the sample and hides it only there is not found.
* What lies about values is not found by tests that bear no copies. What gold itself passes in a control is checked by
  nothing.
* Tests in Go, Rust, Java (Maven, Gradle), and in JavaScript under jest or vitest, bear no copies: their results come from
  the authenticated file, and one control stands for them (`runners`). Who reads the test files before passing them can tell
  it. Tests under Ant, and in Ruby, PHP and C, have no strict column: "strict not available", with the reason, and reports
  count such passes.
* Where a test asks for less than a value (text that occurs in a message, an exception's class), a right fix might satisfy a
  false copy, too: a message with other words in it, an exception of two classes. Not seen in the corpus.
* Hard-coded answers are a fix as far as tests can tell.
* Sandboxes on one machine feel each other by time: what one has read of the image's files the next reads some fifty times
  faster. They may not ask what is in memory (`tasks.docker.confine`), and no verdict rests on it; but two attempts of one
  task that run one after the other on one machine can talk to each other this way, and nothing here stops them.
"""

from evals.grade.strict.types import StrictVerdict

__all__ = ["StrictVerdict"]
