"""The page in a real browser: what users see, hear and can do with the keyboard alone.

Skipped without playwright or a Chromium. `nox -s browser` installs playwright and fails without a
Chromium. BROWSER_BINARY is the path of a browser that is not on PATH.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import constructed_origin
import constructed_report
import pytest

from metalassay.report.render import html

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="no playwright here: nox -s browser installs it"
)

pytestmark = pytest.mark.slow

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# No sandbox, as containers run tests as root; the rest keeps the browser from calling home.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ATTACK = "<script>document.title='taken'</script><img src=x onerror=alert(1)>|`*_\"&amp;'"
PAGES = ("everything", "attacked", "many", "states")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start the browser, or skip with the reason; with BROWSER_REQUIRED set, fail."""
    binary = os.environ.get("BROWSER_BINARY") or next(filter(None, map(shutil.which, NAMES)), None)
    with sync_api.sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(executable_path=binary, args=list(FLAGS))
        except sync_api.Error as error:
            missing = f"no browser starts: {str(error).splitlines()[0]}"
            if os.environ.get("BROWSER_REQUIRED"):
                pytest.fail(missing)
            pytest.skip(missing)
        yield started
        started.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Write the pages and return their addresses."""
    folder: Path = tmp_path_factory.mktemp("pages")
    reports = {
        "everything": constructed_report.everything(),
        "attacked": constructed_report.everything(ATTACK),
        "many": constructed_report.everything(sets=70, bugs=75),
        "states": constructed_origin.written(folder, constructed_origin.documents())[0],
    }
    for name, report in reports.items():
        (folder / f"{name}.html").write_text(html.render(report), "utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in reports}


@pytest.fixture
def opened(browser: Any, pages: dict[str, str]) -> Iterator[Any]:
    """Return a function that opens a page; its ``logged`` and ``asked`` list messages and requests."""
    open_pages = []

    def open_page(name: str = "everything", width: int = 1280, scheme: str = "light") -> Any:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        open_pages.append(page)
        page.logged, page.asked = [], []
        page.on("console", lambda message: page.logged.append(message.text))
        page.on("pageerror", lambda error: page.logged.append(str(error)))
        page.on("dialog", lambda dialog: (page.logged.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(pages[name])
        return page

    yield open_page
    for page in open_pages:
        page.close()


def open_all(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")


@pytest.mark.parametrize("name", PAGES)
def test_the_page_requests_nothing_and_logs_nothing(opened: Any, name: str, pages: Any) -> None:
    page = opened(name)
    open_all(page)
    assert page.asked == [pages[name]]
    assert page.logged == []
    assert page.title() == "metalassay report"


def test_every_section_is_visible(opened: Any) -> None:
    page = opened()
    titles = page.locator("h2:visible").all_inner_texts()
    assert [title.partition("\n")[0] for title in titles] == [
        "Compatibility",
        "Benchmarks",
        "M4 vs M4 Pro, both invented",
        "Throughput by batch size",
        "Scaling against the roofline",
        "Projected: Apple M4 Max projected, not measured",
        "Training runs",
        "Conditions",
        "Warnings",
        "Method and commands",
    ]
    assert page.locator("svg:visible").count() == 4
    assert page.get_by_text("The second machine trains 1.9 times").is_visible()


def test_a_cell_opens_and_closes_with_the_keyboard_alone(opened: Any) -> None:
    page = opened()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('td.red summary')"):
            break
    else:
        pytest.fail("no red cell after pressing Tab sixty times")
    evidence = page.locator("td.red").first.get_by_text("UnboundLocalError")
    assert not evidence.is_visible()
    page.keyboard.press("Enter")
    assert evidence.is_visible()
    page.keyboard.press("Space")
    assert not evidence.is_visible()


def test_the_list_of_red_cells_links_to_the_cell_and_one_tab_further_is_its_switch(
    opened: Any,
) -> None:
    page = opened("many")
    page.locator(".reds a").nth(1).focus()
    page.keyboard.press("Enter")
    cell = page.locator("td:target")
    box = cell.bounding_box()
    assert 0 <= box["y"] < 900
    assert 0 <= box["x"] < 1280
    page.keyboard.press("Tab")
    assert page.evaluate(
        "document.activeElement.closest('td') === document.querySelector(':target')"
    )


def test_a_link_to_an_output_unfolds_the_part_with_it(opened: Any) -> None:
    page = opened()
    page.locator("td.broken summary").first.click()
    link = page.locator("td.broken a", has_text="output").first
    number = link.inner_text().removeprefix("output ")
    link.click()
    heading = page.locator(f"#e{number}")
    assert heading.is_visible()
    assert heading.inner_text().startswith(f"Output {number}: ")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_page_never_scrolls_sideways_even_with_everything_unfolded(
    opened: Any, name: str, width: int
) -> None:
    page = opened(name, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    open_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [390, 640, 1280])
def test_marks_and_alerts_are_visible_and_no_mark_is_cut(opened: Any, width: int) -> None:
    page = opened("states", width)
    assert page.locator(".alerts li:visible").count() == 5
    marks = page.locator("th .mark:visible")
    assert marks.count() == 4
    cut = "each => each.filter(one => one.scrollWidth > one.clientWidth).map(one => one.innerText)"
    assert marks.evaluate_all(cut) == []
    box = page.locator(".alerts").bounding_box()
    assert 0 <= box["x"] <= box["x"] + box["width"] <= width


@pytest.mark.parametrize("width", [390, 1280])
def test_no_name_in_the_menu_is_cut(opened: Any, width: int) -> None:
    page = opened(width=width)
    assert page.locator("nav li").count() == 10
    cut = "each => each.filter(one => one.scrollWidth > one.clientWidth).map(one => one.innerText)"
    assert page.locator("nav li").evaluate_all(cut) == []


def test_the_name_of_a_row_stays_visible_when_its_table_scrolls(opened: Any) -> None:
    page = opened(width=390)
    page.evaluate("document.querySelector('.compat').parentElement.scrollLeft = 400")
    box = page.locator(".compat tbody th").nth(1).bounding_box()
    assert 0 <= box["x"] < 40


def test_decimal_points_of_a_column_are_aligned(opened: Any) -> None:
    page = opened()
    places = page.evaluate(
        """() => [...document.querySelectorAll('#benchmarks ~ .scroll td:nth-child(3)')]
          .filter(cell => /^[\\d,.]+ /.test(cell.textContent)).slice(0, 2).map(cell => {
            const text = cell.firstChild, range = document.createRange();
            range.setStart(text, 0); range.setEnd(text, text.data.match(/^[\\d,]+/)[0].length);
            return range.getBoundingClientRect().right; })"""
    )
    assert len(places) == 2
    assert abs(places[0] - places[1]) < 0.6


@pytest.mark.parametrize("width", [390, 1280])
def test_no_text_of_a_plot_covers_another_or_leaves_the_plot(opened: Any, width: int) -> None:
    page = opened(width=width)
    faults = page.evaluate(
        """() => [...document.querySelectorAll('svg')].flatMap(svg => {
          const outer = svg.getBoundingClientRect(), found = [];
          const boxes = [...svg.querySelectorAll('text')].map(each => [each, each.getBoundingClientRect()]);
          boxes.forEach(([one, a], index) => {
            if (a.left < outer.left - 1 || a.right > outer.right + 1) found.push('out: ' + one.textContent);
            boxes.slice(index + 1).forEach(([other, b]) => {
              const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
              const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
              if (across > 1 && down > 3) found.push(one.textContent + ' on ' + other.textContent);
            });
          });
          return found; })"""
    )
    assert faults == []


def test_the_text_of_a_plot_is_legible_on_a_phone(opened: Any) -> None:
    page = opened(width=390)
    sizes = page.evaluate(
        """() => [...document.querySelectorAll('svg')].map(svg =>
          13 * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width)"""
    )
    assert len(sizes) == 4
    assert min(sizes) > 8.4  # pixels


def test_dark_mode_is_dark_and_a_printed_page_is_white_and_without_the_menu(opened: Any) -> None:
    page = opened(scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(colour) == "rgb(20, 23, 26)"
    page.emulate_media(media="print")
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")


def test_a_wide_table_scrolls_with_the_keyboard_alone(opened: Any) -> None:
    page = opened(width=390)
    assert page.locator(".scroll").count() > 10
    assert page.locator(".scroll:not([tabindex='0'])").count() == 0
    region = page.locator(".scroll:has(.compat)").first
    region.focus()
    page.keyboard.press("ArrowRight")
    for _ in range(
        100
    ):  # scrolling may be smooth; wait_for_function would need eval, which the page forbids
        page.wait_for_timeout(20)
        if region.evaluate("each => each.scrollLeft") > 10:
            break
    else:
        pytest.fail("the table did not scroll")


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [
        ("everything", 1280, "light"),
        ("everything", 1280, "dark"),
        ("everything", 390, "light"),
        ("attacked", 1280, "light"),
        ("states", 1280, "light"),
        ("states", 390, "dark"),
    ],
)
@pytest.mark.parametrize("unfolded", [False, True])
def test_axe_finds_nothing_serious(
    opened: Any, name: str, width: int, scheme: str, unfolded: bool
) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="no axe here: nox -s browser installs it"
    )
    page = opened(name, width, scheme)
    if unfolded:
        open_all(page)
    response = axe.Axe().run(page).response
    assert len(response["passes"]) > 15  # it did look
    serious = [
        f"{each['id']}: {each['nodes'][0]['html'][:200]} {each['nodes'][0]['failureSummary']}"
        for each in response["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []
