"""The page in a real browser: what it says, that it is inert, that it fits a phone; and its geometry without one."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.report.page import to_html
from evals.report.page_figures import scale_over, scatter
from evals.report.summary import read_report, summarise
from evals.run.manifest import Elsewhere, load
from tasks.disk import write_json
from tests.browser import Browser, chromium
from tests.page_run import write_page_run

PHONE, DESKTOP = (390, 844), (1280, 900)
HOSTILE = (
    "<script>document.title='owned'</script><img src=http://127.0.0.1:9/x onerror=document.title='owned'>"
    "\"'><svg onload=document.title='owned'></style></title>{{ 7*7 }}{% raw %} \u202egnp.exe\u202c \x1b]0;owned\x07\x1b[31m "
    + "é"
    * 10_000
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Fails where CI promises a browser, skips elsewhere."""
    if chromium() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium, and CI needs one: .ci/run must install it")
        pytest.skip("no chromium: apt-get install chromium")
    with Browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


def page(run: Path) -> Path:
    path = run / "report.html"
    path.write_text(to_html(read_report(run)))
    return path


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 tasks × 3 scaffolds."""
    return page(write_page_run(tmp_path_factory.mktemp("runs") / "large", 500))


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page(write_page_run(tmp_path_factory.mktemp("runs") / "hostile", 30, words=HOSTILE))


class Elements(HTMLParser):
    """What a page is made of, read without a browser."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [PHONE, DESKTOP])
@pytest.mark.parametrize("which", ["large", "hostile"])
def test_fits_its_window_and_asks_for_nothing(
    browser: Browser, request: pytest.FixtureRequest, which: str, size: tuple[int, int], dark: bool
) -> None:
    path = request.getfixturevalue(which)
    browser.complaints.clear(), browser.requests.clear()
    browser.open(path, *size, dark=dark)
    for _ in range(2):
        assert browser.ask("document.documentElement.scrollWidth") <= size[0]
        browser.ask("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.complaints == []
    assert {url for url in browser.requests if not url.startswith("data:")} == {path.as_uri()}


def test_says_what_it_must(browser: Browser, large: Path) -> None:
    browser.open(large, *DESKTOP)
    text = browser.ask("document.body.innerText")
    scores = summarise(large.parent).scores
    for expected in ("77.2", *(f"{100 * (one.rate or 0):.1f} %" for one in scores), "Verdict", "margin ±3"):
        assert expected in text
    assert browser.ask("document.querySelectorAll('.task').length") == 500
    assert browser.ask("document.querySelectorAll('.verdict').length") == len(scores)
    counted = {
        one: browser.ask(f"document.querySelectorAll('.task i.{one}').length")
        for one in ("resolved", "missing")
    }
    assert counted == {"resolved": sum(s.resolved for s in scores), "missing": sum(s.missing for s in scores)}


def test_a_square_leads_to_files_that_exist(browser: Browser, large: Path) -> None:
    browser.open(large, *DESKTOP)
    browser.ask("location.hash = document.querySelector('.task').getAttribute('href')")
    links = json.loads(
        browser.ask(
            "JSON.stringify([...document.querySelectorAll(':target a')].map(a => a.getAttribute('href')))"
        )
    )
    assert len(links) == 12  # patch, log, trajectory and record of three scaffolds
    assert all((large.parent / link).is_file() for link in links)


def test_follows_the_readers_colours(browser: Browser, large: Path) -> None:
    shades = []
    for dark in (False, True):
        browser.open(large, *DESKTOP, dark=dark)
        shades.append(browser.ask("getComputedStyle(document.body).backgroundColor"))
    assert shades[0] != shades[1]


def test_a_large_run_stays_small(large: Path) -> None:
    assert large.stat().st_size < 2_000_000


def test_hostile_words_are_words(browser: Browser, hostile: Path) -> None:
    browser.open(hostile, *DESKTOP)
    assert "owned" not in browser.ask("document.title").replace("='owned'", "")
    assert browser.ask("document.querySelectorAll('script, img, object, iframe').length") == 0
    assert "<script>" in browser.ask("document.body.innerText")
    source = hostile.read_text()
    assert not set("\u202e\u202c\x1b\x07") & set(source)
    assert "49" not in source.split("7*7")[1][:5]
    assert hostile.stat().st_size < 2_000_000


@pytest.mark.parametrize("which", ["large", "hostile"])
def test_carries_no_script_and_no_address(request: pytest.FixtureRequest, which: str) -> None:
    found = Elements(request.getfixturevalue(which).read_text())
    assert not found.tags & {"script", "img", "iframe", "object", "embed", "base", "form", "audio", "video"}
    assert not [
        name for name, _ in found.attributes if name.startswith("on") or name in {"src", "srcset", "action"}
    ]
    addresses = {value for name, value in found.attributes if name in {"href", "xlink:href"}}
    assert not [value for value in addresses if ":" in value and value != "data:,"]
    assert not [value for value in addresses if value.startswith(("/", "..", "\\"))]


def test_says_what_was_imported(tmp_path: Path) -> None:
    run = write_page_run(tmp_path / "imported", 12, scaffolds=("bash",))
    facts = load(run).model_copy(
        update={"made_elsewhere": Elsewhere(source="report r.json", model="Qwen3.6-27B")}
    )
    write_json(run / "manifest.json", facts)
    text = page(run).read_text()
    assert "Imported: not graded by asclaimed." in text
    assert "Differences between scaffolds" not in text


def test_no_margin_no_verdict(tmp_path: Path) -> None:
    text = page(write_page_run(tmp_path / "marginless", 12, margin=None)).read_text()
    assert "No verdict: no margin was fixed before the run" in text


def test_of_many_scaffolds_the_best_have_a_place(tmp_path: Path) -> None:
    text = page(write_page_run(tmp_path / "many", 6, scaffolds=[f"s{n}" for n in range(10)])).read_text()
    assert "The 8 best of 10 scaffolds" in text
    assert text.count('class="verdict') == 8
    assert text.count('class="row measured"') == 10


def test_a_run_without_attempts_has_a_page(tmp_path: Path) -> None:
    run = write_page_run(tmp_path / "empty", 3, scaffolds=("bash",))
    for record in run.rglob("record.json"):
        record.unlink()
    for grade in run.rglob("grade.json"):
        grade.unlink()
    assert "nothing judged" in page(run).read_text()


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_an_axis_holds_its_values_between_round_ends(values: list[float]) -> None:
    scale = scale_over(values, 0, 100)
    assert 2 <= len(scale.ticks) <= 8
    assert scale.ticks[0] == scale.low <= min(values)
    assert scale.ticks[-1] == scale.high >= max(values)
    assert all(0 <= scale.at(value) <= 100 for value in values)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=2, max_size=8))
def test_labels_of_points_keep_their_distance(places: list[tuple[float, float]]) -> None:
    scale = scale_over([0, 100])
    heights = sorted(p.label_y for p in scatter([("x", *place) for place in places], scale, scale, 220))
    assert all(b - a >= 15.9 for a, b in itertools.pairwise(heights))
