"""Answers questions about one swebench version over JSON lines: the child process behind `evals.grade.official`.

Runs under the Python that has the wanted swebench installed, which may not be ours: standard library only, and no
import of asclaimed. Verdicts, parsers and eval scripts come from that swebench, unmodified. Its package initialisers
are skipped, and the libraries that it imports but grading never uses (`datasets`, `dotenv`) are empty stand-ins: its
own import takes 7 s and reads a `.env` file from wherever it was started.

Protocol: one JSON object a line in, one out. `{"op": "grade", "row": {…}, "log": path}`,
`{"op": "script", "row": {…}}`, `{"op": "derive", "row": {…}}`; `{"error": "…"}` when swebench itself failed, with `"bad_row": true` where the row
is to blame and not the log.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

GRADED = ("FAIL_TO_PASS", "PASS_TO_PASS")


def open_package() -> None:
    """Make `swebench.harness.*` importable without what the packages around it import for their own commands."""
    spec = importlib.util.find_spec("swebench")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("swebench is not installed here")
    root = Path(spec.submodule_search_locations[0])
    for name, path in (("swebench", root), ("swebench.harness", root / "harness")):
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    datasets, dotenv = types.ModuleType("datasets"), types.ModuleType("dotenv")
    vars(datasets).update(Dataset=None, load_dataset=None, load_from_disk=None)
    vars(dotenv).update(load_dotenv=lambda *_, **__: False)
    sys.modules.update(datasets=datasets, dotenv=dotenv)


class BadRow(ValueError):  # noqa: N818 - a fact about the row
    """The row, not the log, is at fault."""


class Grader:
    """The functions of one installed swebench: v5 rows carry script and parser, v4 rows a repository and version."""

    def __init__(self) -> None:
        self.version = importlib.metadata.version("swebench")
        self.grading: Any = importlib.import_module("swebench.harness.grading")
        self.constants: Any = importlib.import_module("swebench.harness.constants")
        parsers: Any = importlib.import_module("swebench.harness.log_parsers")
        self.is_v5 = hasattr(parsers, "PARSER_REGISTRY")
        self.parsers = parsers.PARSER_REGISTRY if self.is_v5 else parsers.MAP_REPO_TO_PARSER
        module = "swebench.harness.utils" if self.is_v5 else "swebench.harness.test_spec.test_spec"
        self.specs: Any = importlib.import_module(module)
        self.status: dict[str, str] = {}
        self._listen()

    def _listen(self) -> None:
        """Keep the status map that the verdict was made from, which the report leaves out."""
        original = self.grading.get_logs_eval

        def heard(*arguments: Any) -> Any:
            self.status, found = original(*arguments)
            return self.status, found

        self.grading.get_logs_eval = heard

    def spec(self, row: dict[str, Any]) -> Any:
        """This version's `TestSpec` of a row."""
        try:
            spec = self.spec_v5(row) if self.is_v5 else self.spec_v4(row)
        except Exception as error:
            raise BadRow(f"{type(error).__name__}: {error}") from error
        if not (
            spec.FAIL_TO_PASS and all(isinstance(test, str) for test in spec.FAIL_TO_PASS + spec.PASS_TO_PASS)
        ):
            raise BadRow("FAIL_TO_PASS is empty, so nothing that a fix does could show")
        return spec

    def spec_v5(self, row: dict[str, Any]) -> Any:
        """The row names its script and parser."""
        if row["log_parser"] not in self.parsers:
            raise ValueError(f"unknown log parser {row['log_parser']!r}")
        self.constants.EvalType(row["eval_type"])
        return self.specs.make_test_spec({"version": "", **row})

    def spec_v4(self, row: dict[str, Any]) -> Any:
        """This swebench knows script and parser by the row's repository and version."""
        repo, version, tests = row["repo"], row["version"], {key: as_list(row.get(key)) for key in GRADED}
        specs = self.constants.MAP_REPO_VERSION_TO_SPECS.get(repo, {}).get(version)
        if specs is None:
            raise ValueError(f"swebench {self.version} does not know {repo} {version}")
        # make_test_spec would download requirements files to write the image's build script, which grading never reads
        script = self.specs.make_eval_script_list(
            row, specs, "testbed", "/testbed", row["base_commit"], row["test_patch"]
        )
        return self.specs.TestSpec(
            instance_id=row["instance_id"],
            repo=repo,
            version=version,
            repo_script_list=[],
            env_script_list=[],
            eval_script_list=script,
            arch="x86_64",
            language=self.constants.MAP_REPO_TO_EXT[repo],
            docker_specs=specs.get("docker_specs", {}),
            namespace="swebench",
            **tests,
        )

    def script(self, row: dict[str, Any]) -> dict[str, Any]:
        """The bash text that this version runs in the container, with its exit-code recorder where it has one."""
        return {"script": self.spec(row).eval_script}

    def derive(self, row: dict[str, Any]) -> dict[str, Any]:
        """The four columns that a v5 row has and a v4 row lacks."""
        if self.is_v5:
            raise ValueError(f"swebench {self.version} has no specs to derive a row from")
        spec = self.spec(row)
        fail_only = row["repo"] in self.constants.FAIL_ONLY_REPOS
        return {
            "image": spec.instance_image_key,
            "eval_script": spec.eval_script,
            "log_parser": self.parsers[row["repo"]].__name__,
            "eval_type": "fail_only" if fail_only else "pass_and_fail",
        }

    def grade(self, row: dict[str, Any], log: str) -> dict[str, Any]:
        """What `get_eval_report` says of a recorded log, and each graded test's status."""
        self.status = {}
        prediction = {
            "instance_id": row["instance_id"],
            "model_patch": "recorded",
            "model_name_or_path": "recorded",
        }
        with as_the_harness_writes(Path(log)) as (path, content):
            report = self.grading.get_eval_report(self.spec(row), prediction, path, True)[row["instance_id"]]
        applied = bool(report["patch_successfully_applied"])
        return {
            "resolved": bool(report["resolved"]),
            "applied": applied,
            "reason": "" if applied else self.why_invalid(content),
            "tests": self.statuses(report.get("tests_status", {})),
            "infra": report.get("infra_failure_reason", ""),
        }

    def statuses(self, report: dict[str, dict[str, list[str]]]) -> dict[str, str]:
        """Graded id → `passed` where the report counts it so, else the parser's word in lower case, or `missing`."""
        found = {}
        for key in GRADED:
            groups = report.get(key, {"success": [], "failure": []})
            found.update({test: self.status.get(test, "MISSING").lower() for test in groups["failure"]})
            found.update(dict.fromkeys(groups["success"], "passed"))
        return found

    def why_invalid(self, content: str) -> str:
        """Which of `get_logs_eval`'s conditions a log without a verdict met."""
        c = self.constants
        marks = ("APPLY_PATCH_FAIL", "RESET_FAILED", "TESTS_ERROR", "TESTS_TIMEOUT")
        if said := [name for name in marks if getattr(c, name) in content]:
            return f"the log carries the harness's {said[0]} mark"
        if missing := [n for n in ("START_TEST_OUTPUT", "END_TEST_OUTPUT") if getattr(c, n) not in content]:
            return f"the log has no {' and no '.join(missing)} mark: it was cut or the tests never ran"
        code = getattr(self.grading, "parse_test_exit_code", lambda _: None)(content)
        if code:
            return f"the test command ended with status {code}, and the log names no failed test"
        return "the log holds no test result"


def as_list(tests: Any) -> list[str]:
    """Test ids of a row's column: a JSON text or a list."""
    return list(json.loads(tests) if isinstance(tests, str) else tests or [])


class as_the_harness_writes:  # noqa: N801 - reads as a phrase after `with`
    """A file with the log as the harness would have written it: bytes that are no UTF-8 replaced.

    Also that text, as the graders read it (CR and CRLF are newlines).
    """

    def __init__(self, log: Path) -> None:
        self.data = log.read_bytes()
        self.path = log
        self.copy: str | None = None

    def __enter__(self) -> tuple[str, str]:
        text = self.data.decode(errors="replace")
        if "\ufffd" in text:
            handle, self.copy = tempfile.mkstemp(suffix=".log")
            with os.fdopen(handle, "w", newline="", encoding="utf-8") as file:
                file.write(text)
        return self.copy or str(self.path), text.replace("\r\n", "\n").replace("\r", "\n")

    def __exit__(self, *_: object) -> None:
        if self.copy:
            Path(self.copy).unlink()


def answer(grader: Grader, request: dict[str, Any]) -> dict[str, Any]:
    """One question. Whatever swebench raises on a hostile log or a bad row becomes an answer."""
    try:
        row = request["row"]
        if request["op"] == "grade":
            return grader.grade(row, request["log"])
        return grader.script(row) if request["op"] == "script" else grader.derive(row)
    except BadRow as error:
        return {"error": str(error)[:300], "bad_row": True}
    except Exception as error:  # noqa: BLE001 - a parser may raise anything on text that a model wrote
        return {"error": f"{type(error).__name__}: {error}"[:300]}


def main() -> None:
    """Serve until stdin closes. Prints of swebench go to stderr, so that stdout holds answers only."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    open_package()
    grader = Grader()
    print(json.dumps({"version": grader.version}), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(grader, json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
    main()
