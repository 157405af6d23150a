# ruff: noqa: ARG001, ARG002, ARG005, UP031
# mypy: disable-error-code="no-untyped-def,no-untyped-call,var-annotated,attr-defined,method-assign,arg-type,assignment,misc"
# Read by the task's own Python, which may be as old as 3.5: no annotations of variables, no f-strings.
"""Runs inside the task's container: tells the host what each test did. PYTEST_DONT_REWRITE

Delivered under a random name by `delivery` and loaded by a `sitecustomize`; standard library only. It listens to
pytest (as a plugin), unittest (so Django) and SymPy's own runner, and appends one authenticated line a test to the
result file. Each line's code covers the line before it, so that lines cannot be dropped, added or reordered
without the key. It cannot be trusted for itself: code under test that finds the key can write what it likes, which
is what the negative controls are for. Not covered: doctest runners, nose, test runners of other languages.
"""

import errno
import importlib.util
import os
import sys
import time

try:
    import resource
except ImportError:
    resource = None


def _first(name, *modules):
    """From the first module that is there. To import json and hashlib takes ten milliseconds."""
    for module in modules[:-1]:
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            pass
    return getattr(importlib.import_module(modules[-1]), name)


# What tested code may replace is bound here, before any of it runs.
_open, _write, _close, _getpid = os.open, os.write, os.close, os.getpid
_digest = _first("sha256", "_sha2", "_sha256", "hashlib")
_quote = _first("encode_basestring_ascii", "_json", "json.encoder")
_join, _relpath, _getcwd = os.path.join, os.path.relpath, os.getcwd
_clock = time.time

FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT
_getrlimit, _setrlimit, FSIZE = (
    (resource.getrlimit, resource.setrlimit, resource.RLIMIT_FSIZE) if resource else (None, None, None)
)
WORST_FIRST = ("failed", "skipped", "xfailed", "passed")


class Channel:
    """The result file, seen from the writing process."""

    def __init__(self, path, key):
        self.path, self.key = path, key
        self.stream, self.code = "", ""

    def send(self, kind, names, state, seconds=0.0):
        """Append one line: kind `test` or `end`; names are aliases of one test."""
        stream = "%d-%s" % (_getpid(), id(self))
        if stream != self.stream:
            self.stream, self.code = stream, ""
        listed = "[" + ", ".join(map(_quote, names)) + "]"
        parts = [_quote(self.stream), _quote(kind), listed, _quote(state), "%.6f" % seconds]
        body = "[" + ", ".join(parts) + "]"
        self.code = _digest((self.key + self.code + body).encode("ascii")).hexdigest()
        self._append((self.code + " " + body + "\n").encode("ascii"))

    def _append(self, line):
        """A limit on the size of files that tested code set must not look like tests without a result."""
        handle = _open(self.path, FLAGS, 0o666)
        try:
            with _Unlimited():
                whole = _write(handle, line) == len(line)
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            whole = False
        finally:
            _close(handle)
        if not whole:
            _close(_open(self.path + ".full", FLAGS, 0o666))  # an empty file has no size


class _Unlimited:
    """Lifts the soft limit on the size of files; the hard one is beyond us."""

    def __enter__(self):
        self.before = _getrlimit(FSIZE) if _getrlimit else None
        if self.before and self.before[0] != self.before[1]:
            _setrlimit(FSIZE, (self.before[1], self.before[1]))
        return self

    def __exit__(self, *exc):
        if self.before and self.before[0] != self.before[1]:
            _setrlimit(FSIZE, self.before)


channel = Channel("", "")
_states = {}
_spent = {}


def _note(key, state):
    known = _states.get(key, "passed")
    _states[key] = min(known, state, key=WORST_FIRST.index)


# --- pytest -------------------------------------------------------------------------------------------------------


def pytest_runtest_call(item):
    """Innermost wrapper: sees the exception before any conftest can talk it away."""
    outcome = yield
    if outcome.excinfo is not None:
        _states["raised", str(item.nodeid)] = "failed"


pytest_runtest_call.pytest_impl = {
    "hookwrapper": True,
    "wrapper": False,
    "optionalhook": False,
    "tryfirst": False,
    "trylast": True,
    "specname": None,
}


def pytest_runtest_logreport(report):
    nodeid = str(report.nodeid)
    if report.outcome == "rerun":
        _states.pop(nodeid, None)
        _states.pop(("raised", nodeid), None)
        return
    _spent[nodeid] = _spent.get(nodeid, 0.0) + float(getattr(report, "duration", 0.0))
    state = report.outcome
    if hasattr(report, "wasxfail"):
        state = "xfailed" if report.outcome == "skipped" else "passed"
    elif report.outcome == "passed" and report.when == "call" and ("raised", nodeid) in _states:
        state = "failed"
    _note(nodeid, state)
    if report.when == "teardown":
        _states.pop(("raised", nodeid), None)
        channel.send("test", [_relative(nodeid)], _states.pop(nodeid), _spent.pop(nodeid, 0.0))


_places = []


def pytest_configure(config):
    """Also: no stopping at the first failure, or the tests behind one that a control breaks give no result."""
    root = getattr(config, "rootpath", None) or config.rootdir
    _places[:] = [str(root), _getcwd()]
    for name in ("maxfail", "stepwise"):
        if getattr(config.option, name, None):
            setattr(config.option, name, 0)


def _relative(nodeid):
    """The id as pytest's own summary prints it: from the directory that pytest was called in."""
    root, here = _places or ("", "")
    if root == here:
        return nodeid
    path, colons, rest = nodeid.partition("::")
    return _relpath(_join(root, path), here).replace(os.sep, "/") + colons + rest


def pytest_sessionfinish(session, exitstatus):
    if not hasattr(session.config, "workerinput"):
        channel.send("end", [], str(int(exitstatus)))


# --- unittest -----------------------------------------------------------------------------------------------------

UNITTEST = {
    "addSuccess": "passed",
    "addFailure": "failed",
    "addError": "failed",
    "addSkip": "skipped",
    "addExpectedFailure": "xfailed",
    "addUnexpectedSuccess": "failed",
}


def watch_unittest(module):
    """Listen at the base class, which every result class calls."""
    result = module.TestResult
    for name, state in UNITTEST.items():
        _wrap(result, name, lambda self, test, *rest, **more: _note(id(test), more["state"]), state)
    _wrap(result, "addSubTest", _subtest, None)
    _wrap(result, "startTest", _unittest_begins, None)
    _wrap(result, "stopTest", _unittest_done, None)
    _wrap(result, "stopTestRun", lambda self, **more: channel.send("end", [], "0"), None)


def _wrap(cls, name, also, state):
    original = getattr(cls, name)

    def method(self, *args, **kwargs):
        also(self, *args, state=state)
        return original(self, *args, **kwargs)

    method.__name__ = name
    setattr(cls, name, method)


def _subtest(self, test, subtest, err, state):
    if err is not None:
        _note(id(test), "failed")


def _unittest_begins(self, test, state):
    _spent[id(test)] = _clock()


def _unittest_done(self, test, state):
    seconds = _clock() - _spent.pop(id(test), _clock())
    if id(test) in _states:
        described = test.shortDescription()
        names = [str(test)] + ([described.strip()] if described else [])
        channel.send("test", names, _states.pop(id(test)), seconds)


# --- SymPy --------------------------------------------------------------------------------------------------------


def watch_sympy(module):
    """SymPy's runner calls one method of its reporter for each outcome."""
    reporter = module.PyTestReporter
    current = []

    def entering(self, function, state):
        current[:] = [function.__name__, _clock()]

    def outcome(self, *args, **more):
        if current:
            channel.send("test", [current[0]], more["state"], _clock() - current[1])

    _wrap(reporter, "entering_test", entering, None)
    for name, state in (("test_pass", "passed"), ("test_fail", "failed"), ("test_skip", "skipped")):
        _wrap(reporter, name, outcome, state)
    _wrap(reporter, "test_xfail", outcome, "xfailed")
    _wrap(reporter, "test_xpass", outcome, "passed")
    _wrap(reporter, "test_exception", outcome, "failed")
    _wrap(reporter, "finish", lambda self, **more: channel.send("end", [], "0"), None)


# --- loading ------------------------------------------------------------------------------------------------------

WATCHED = {
    "unittest.result": watch_unittest,
    "sympy.testing.runtests": watch_sympy,
    "sympy.utilities.runtests": watch_sympy,
}


class Watcher:
    """Import hook: calls a watcher as soon as its module is loaded, and changes nothing else."""

    def __init__(self):
        self.busy = set()

    def find_spec(self, name, path=None, target=None):
        watch = WATCHED.get(name)
        if watch is None or name in self.busy:
            return None
        self.busy.add(name)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            if hasattr(module, "TestResult") or hasattr(module, "PyTestReporter"):
                watch(module)

        spec.loader.exec_module = exec_module
        return spec


def install(path, key):
    """Start listening in this process; called once, by our `sitecustomize`."""
    channel.path, channel.key = path, key
    sys.meta_path.insert(0, Watcher())
