"""The documentation as a reader sees it: links, and pages in a browser, on a desk and on a phone.

`SITE=folder python -m pytest -m slow tests/test_site.py` looks at a site that was built already.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PAGES = (
    "index",
    "getting_started",
    "choose",
    "user_guide",
    "learning_rules",
    "theory",
    "defaults",
    "comparison",
    "reproductions",
    "api",
    "generated/sklearn_eqprop.EqPropClassifier",
    "auto_examples/index",
    "auto_examples/plot_digits",
    "auto_examples/theory/plot_one_synapse",
    "auto_examples/images/plot_digit_settles",
)
WITH_FORMULAS = ("theory", "learning_rules", "auto_examples/theory/plot_one_synapse")
WIDTHS = {"desk": (1366, 768), "phone": (390, 844)}

# Pictures further down load late, and formulas are drawn after the page.
LOAD_ALL = """async () => {
    document.querySelectorAll("img").forEach(i => { i.loading = "eager"; });
    await Promise.allSettled([...document.images].map(i => i.decode()));
    await window.MathJax?.startup?.promise;
}"""
# Elements that stick out of the window, unless something around them scrolls.
TOO_WIDE = """() => {
    const inside = element => {
        for (let e = element; e && !["ARTICLE", "BODY"].includes(e.tagName); e = e.parentElement) {
            const style = getComputedStyle(e);
            if (["auto", "scroll"].includes(style.overflowX)) return true;
            if (style.position === "fixed") return true;
            if (style.visibility === "hidden" || style.display === "none") return true;
        }
        return false;
    };
    const width = document.documentElement.clientWidth;
    return [...document.body.querySelectorAll("*")]
        .filter(e => e.getBoundingClientRect().right > width + 1 && !inside(e))
        .map(e => e.outerHTML.slice(0, 120));
}"""
BROKEN_PICTURES = """() => [...document.images]
    .filter(i => !i.complete || i.naturalWidth === 0).map(i => i.src.slice(0, 200))"""
FORMULAS = """() => [...document.querySelectorAll(".math")].map(e => {
    const drawn = e.querySelector("mjx-container svg");
    return drawn !== null && drawn.getBoundingClientRect().width > 0
        && e.querySelector("[data-mml-node=merror], [fill=red]") === null;
})"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder of the site, built with warnings as errors."""
    if built := os.environ.get("SITE"):
        return Path(built)
    pytest.importorskip("sphinx_gallery")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "docs", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is installed")
    quiet = ("background-networking", "component-update", "sync")
    arguments = ["--no-sandbox", "--disable-gpu", *(f"--disable-{name}" for name in quiet)]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("window", WIDTHS)
def test_page_in_a_browser(site, browser, window, name):
    width, height = WIDTHS[window]
    page = browser.new_page(viewport={"width": width, "height": height})
    errors, requests = [], []
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((site / f"{name}.html").as_uri())
    page.evaluate(LOAD_ALL)
    if folder := os.environ.get("SCREENSHOTS"):
        path = Path(folder) / f"{name.replace('/', '-')}-{window}.png"
        page.screenshot(path=path, full_page=True)
    assert errors == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert page.evaluate(TOO_WIDE) == []
    assert page.evaluate(BROKEN_PICTURES) == []
    drawn = page.evaluate(FORMULAS)
    assert all(drawn)
    assert len(drawn) > 5 or name not in WITH_FORMULAS
    page.close()


class Links(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors |= {attributes.get("id"), attributes.get("name")} - {None}
        self.links += [attributes[name] for name in ("href", "src") if attributes.get(name)]


def test_internal_links_lead_somewhere(site):
    read = cache(Links)
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 50
    dead = []
    for page in pages:
        for link in read(page).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            found = target.exists()
            if found and target.suffix == ".html" and parts.fragment:
                found = unquote(parts.fragment) in read(target).anchors
            if not found:
                dead.append(f"{page.relative_to(site)}: {link}")
    assert dead == []
