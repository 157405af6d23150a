"""Everything, each fault in a directory of its own: `python -m tests.soak [random moments]`."""

from __future__ import annotations

import itertools
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.soak.containers import MOMENTS, killed_commands
from tests.soak.crowded import SHARE, found_and_best
from tests.soak.flat import RECORDING, crowd, is_flat, recording
from tests.soak.killed import killed_after, on_a_disk_of, seconds_of, struck_at
from tests.soak.weather import good_server, undisturbed, weathers


def sweep(points: int = 200) -> None:
    """The cheap ones first. Raises `AssertionError` at the first report that is another one."""
    place = Path(tempfile.mkdtemp(prefix="asclaimed-soak-"))
    fresh = (place / f"{n}" / "run" for n in itertools.count())
    good = undisturbed(next(fresh))
    for name, found in weathers(fresh):
        say(name, found == good)
    with good_server() as server:
        for action in ("kill", "disk full"):
            writes = until_it_misses(lambda at, how=action: struck_at(next(fresh), server.url, at, how), good)
            say(f"{action} at each of {writes} writes", True)
        try:
            pages = until_it_misses(lambda at: on_a_disk_of(at, next(fresh), server.url), good)
            say(f"a disk of 0 to {pages} pages", True)
        except PermissionError as error:
            print(f"NOT RUN: a disk that is really full: {error}")
        random_moments(fresh, server.url, good, points)
    shutil.rmtree(place)
    share = recording()
    say(f"recording is {share:.1%} of a model call", share <= RECORDING)
    seen = crowd(2000, 64)
    say(f"2,000 attempts, 64 at once: {', '.join(map(str, seen))}", is_flat(seen, 64))
    found, best = found_and_best()
    told = f"{found:,.0f} tokens a second of a run that looks for its number, {best:,.0f} with the best one"
    say(f"a server that is slower with more: {told}", found >= SHARE * best)
    with tempfile.TemporaryDirectory(prefix="asclaimed-soak-") as there:
        kills = list(killed_commands(Path(there), MOMENTS, random.Random(1)))
    wrong = [kill for kill in kills if kill.wrong]
    alive = sum(kill.under_way for kill in kills)
    say(f"kill -9 of the command at {len(kills)} random moments ({alive} under way) {wrong or ''}", not wrong)


def until_it_misses(strike: Callable[[int], tuple[str, bool]], good: str) -> int:
    """How many faults there are, one after another from the first on; each must leave the good report."""
    for at in itertools.count(1):
        found, struck = strike(at)
        assert found == good, at
        if not struck:
            return at - 1
    raise AssertionError


def random_moments(fresh: Iterator[Path], url: str, good: str, points: int) -> None:
    """Spread over the time that a run takes here."""
    chance, whole = random.Random(0), seconds_of(next(fresh), url)
    kills = [killed_after(next(fresh), url, chance.uniform(0.0, whole)) for _ in range(points)]
    alive = sum(under_way for _, under_way in kills)
    same = all(found == good for found, _ in kills)
    say(f"kill -9 at {points} random moments ({alive} of them under way)", same)


def say(line: str, good: bool) -> None:
    print(f"{'ok' if good else 'FAILED'}: {line}", flush=True)
    assert good, line


if __name__ == "__main__":
    sweep(int(sys.argv[1]) if sys.argv[1:] else 200)
