"""Which files a model without tools should see: chosen in the sandbox, by rule, the same way every time.

Small repositories are shown whole. Otherwise a file counts for each word of the report that it contains, the more the
fewer files have it, and for being named in the report. Not covered: imports, call graphs, embeddings, and parts of
files: the model answers with whole files or quotes them, so it must see them whole.
"""

from __future__ import annotations

import math
import re
import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePosixPath

from tasks.sandbox import Sandbox
from tasks.task import Brief, MachineBrief

CHARACTER_BUDGET = 24_000
"""About 7,000 tokens: fits the default window of an 8k server with room for an answer of one file."""
MOST_CHARACTERS = 200_000
CHARACTERS_A_TOKEN, SHARE_OF_WINDOW = 3, 0.4
"""A file that is changed is written once more in the answer, so it takes its place twice."""
MOST_WORDS = 60
CODE_WEIGHT = 2.0
"""Of a word that looks like code, beside one of plain English."""
CODE = "c cc clj cpp cs css ex go h hpp html java js jsx kt lua m php pl py pyx r rb rs scala sh sql swift ts tsx vue zig"
SOURCES = re.compile(rf"\.({CODE.replace(' ', '|')})$", re.IGNORECASE)
CONFIGURATION = re.compile(r"\.(cfg|ini|toml|ya?ml)$", re.IGNORECASE)
TESTS = re.compile(
    r"(^|/)(tests?|testing|fixtures|docs?|examples?)/|(^|/)(test_|conftest)|_test\.|\.(test|spec)\."
)
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,}")

LIST = "git ls-files -z 2>/dev/null | tr '\\0' '\\n' | grep . || find . -type f -not -path '*/.*' | sed 's|^./||'"
SEARCH = (
    "export LC_ALL=C; for w in {words}; do printf '\\0%s\\n' $w; "
    "(git grep -lzIwF -e $w -- {code} 2>/dev/null || grep -rlZIwF -e $w . 2>/dev/null | sed -z 's|^./||')"
    " | tr '\\0' '\\n'; done"
)
"""Each word, after a NUL, and every file of code that holds it, a line each. (`-o` finds all in one pass, 7 times slower.)"""


def budget_for(window: int | None) -> int:
    """Characters of files that a server with so many tokens of context has room for."""
    if window is None:
        return CHARACTER_BUDGET
    room = int(window * SHARE_OF_WINDOW * CHARACTERS_A_TOKEN)
    return min(max(room, CHARACTER_BUDGET), MOST_CHARACTERS)


def relevant_files(
    sandbox: Sandbox, brief: Brief, *, timeout: float, budget: int = CHARACTER_BUDGET
) -> dict[str, str]:
    """Path → text, best first, within `budget` characters. Empty when the repository holds no readable source."""
    paths = listed(sandbox, brief, timeout)
    if len(paths) > 1:
        words = words_of(brief.problem_statement)
        found = _occurrences(sandbox, list(words), brief.workdir, timeout)
        paths = ranked(paths, brief.problem_statement, words, found)
    return within(budget, sandbox, paths, brief.workdir)


def listed(sandbox: Sandbox, brief: Brief, timeout: float) -> list[str]:
    """Paths that may be shown, below the working directory."""
    if isinstance(brief, MachineBrief) and brief.workdir == "/":
        return []  # that would be the whole system
    return candidates(lines_of(sandbox, LIST, brief.workdir, timeout))


def lines_of(sandbox: Sandbox, command: str, workdir: str, timeout: float) -> list[str]:
    """Every line that a command prints: through a file, because an `ExecResult` keeps head and tail only."""
    file = f"/tmp/asclaimed-{secrets.token_hex(8)}"  # noqa: S108 - inside the container
    sandbox.exec(f"{{ {command}\n}} >{file}", timeout=timeout, cwd=workdir)
    text = ""
    with suppress(OSError):  # no room for it: then nothing is known of the tree
        text = sandbox.read(file).decode("utf-8", "surrogateescape")
    sandbox.exec(f"rm -f {file}", timeout=timeout)
    return [line for line in text.split("\n") if line]


def candidates(listing: Iterable[str]) -> list[str]:
    """Code before configuration; tests and docs only where there is nothing else."""
    paths = sorted(set(listing))
    code = [path for path in paths if SOURCES.search(path)]
    return (
        [path for path in code if not TESTS.search(path)]
        or code
        or [p for p in paths if CONFIGURATION.search(p)]
    )


def words_of(statement: str) -> dict[str, float]:
    """Words of the report and their weights, what looks most like code first: `snake_case`, `CamelCase`, quoted."""
    quoted = set(WORD.findall(" ".join(re.findall(r"`([^`\n]+)`", statement))))

    def is_code(word: str) -> bool:
        return "_" in word or word in quoted or re.search(r"[a-z][A-Z]", word) is not None

    counts = Counter(WORD.findall(statement))
    order = sorted(counts, key=lambda word: (not is_code(word), -counts[word], word))
    return {word: CODE_WEIGHT if is_code(word) else 1.0 for word in order[:MOST_WORDS]}


def _occurrences(sandbox: Sandbox, words: list[str], workdir: str, timeout: float) -> dict[str, list[str]]:
    """Word → every file of the tree that contains it as a whole word."""
    code = " ".join(f"':(icase)*.{suffix}'" for suffix in CODE.split())
    command = SEARCH.format(words=" ".join(words), code=code)  # a word is letters, digits and _
    found: dict[str, list[str]] = {}
    word = ""
    for line in lines_of(sandbox, command, workdir, timeout) if words else ():
        if line.startswith("\0"):
            word = line[1:]
        else:
            found.setdefault(word, []).append(line)
    return found


def ranked(
    paths: Sequence[str], statement: str, words: Mapping[str, float], found: Mapping[str, Sequence[str]]
) -> list[str]:
    """Best first: by words that few files have, and by being named."""
    score: defaultdict[str, float] = defaultdict(float)
    known = set(paths)
    for word, files in found.items():
        ours = known.intersection(files)
        for path in ours:
            score[path] += words.get(word, 0.0) * math.log(len(paths) / len(ours))
    most = max(score.values(), default=1.0)
    for path in paths:
        score[path] += most * (2 * (path in statement) + _is_named(path, statement))
    return sorted(paths, key=lambda path: (-score[path], path))


def _is_named(path: str, statement: str) -> bool:
    pure = PurePosixPath(path)
    module = ".".join(pure.with_suffix("").parts)
    return pure.name in statement or ("." in module and module in statement)


def within(budget: int, sandbox: Sandbox, paths: Iterable[str], workdir: str) -> dict[str, str]:
    """The text of each file that has room, in order."""
    chosen: dict[str, str] = {}
    left = budget
    for path in paths:
        if left < budget // 20:
            break
        text = _read(sandbox, f"{workdir}/{path}")
        if text and len(text) <= left:  # an empty file only distracts a small model
            chosen[path] = text
            left -= len(text)
    return chosen


def _read(sandbox: Sandbox, path: str) -> str | None:
    """None for what is not a text file."""
    try:
        return sandbox.read(path).decode()
    except (OSError, UnicodeDecodeError):
        return None
