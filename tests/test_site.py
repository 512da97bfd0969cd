"""The site: built without a warning, with a page for every public name, and looked at in a real browser."""

import functools
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytestmark = pytest.mark.site

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site: ETENDUE_SITE, or else built here."""
    pytest.importorskip("sphinx")
    if given := os.environ.get("ETENDUE_SITE"):
        return Path(given)
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", str(DOCS), str(folder)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.fixture(scope="module")
def names(site):
    from sphinx.util.inventory import InventoryFile

    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, path: path)
    return {name: item.uri for kind in inventory for name, item in inventory[kind].items()}


@pytest.fixture
def public(monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "_ext")
    import public

    return public


def test_every_public_name_has_its_place(site, names, public):
    import etendue

    wanted = {*public.public(), *public.sources().values(), *public.modules()}
    assert {f"etendue.{name}" for name in etendue.__all__} <= wanted
    assert {name for name in wanted if name not in names} == set()
    for name in wanted:
        page = (site / names[name].partition("#")[0]).read_text()
        assert f'id="{names[name].partition("#")[2].replace("$", name)}"' in page


def test_every_stage_and_source_is_public(names, public):
    known = set(public.public().values())
    for entry in entry_points(group="etendue.stages"):
        assert not entry.value.startswith("etendue.") or entry.load() in known, entry.name
    for entry in entry_points(group="etendue.sources"):
        assert not entry.value.startswith("etendue.") or entry.value.replace(":", ".") in names, entry.name


def test_every_page_is_in_the_contents(site):
    index = (site / "index.html").read_text()
    for page in DOCS.glob("*.md"):
        assert f'href="{"#" if page.stem == "index" else page.stem + ".html"}"' in index, page.name


def test_every_verb_is_described(site):
    from etendue.cli import main

    page = (site / "cli.html").read_text()
    for verb, command in ((verb, main.get_command(None, verb)) for verb in main.list_commands(None)):
        for option in (option for p in command.params for option in p.opts if option.startswith("--")):
            assert re.search(f'id="cmdoption-etendue-{verb}-[^"]*{option.removeprefix("--")}"', page), option


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium: install Debian's package")
    with sync_api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])


@pytest.fixture(scope="module")
def address(site):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(browser, address):
    """A page on which nothing goes wrong: no error, nothing that is not there, nothing from outside."""
    page = browser.new_page(base_url=address)
    # What a page still loads when a test leaves it would count as failed.
    page.goto = functools.partial(page.goto, wait_until="networkidle")
    wrong = []
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(request.url))
    page.on("response", lambda answer: wrong.append(answer.url) if answer.status >= 400 else None)
    page.on("request", lambda request: None if request.url.startswith(address) else wrong.append(request.url))
    yield page
    page.wait_for_load_state("networkidle")
    page.close()
    assert wrong == []


def test_index_opens(page):
    page.goto("/index.html")
    assert page.title().startswith("etendue")
    assert page.locator("article h1").first.inner_text().startswith("etendue")
    picture = page.locator("article img").first
    assert picture.evaluate("image => image.naturalWidth") > 100
    page.locator("nav.bd-docs-nav a", has_text="Flows").first.click()
    assert page.locator("article h1").first.inner_text().startswith("Flows")


def test_search_finds_a_stage(page):
    page.goto("/index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("Clean")
    page.keyboard.press("Enter")
    found = page.locator("#search-results a", has_text="etendue.iact.Clean").first
    found.wait_for(timeout=20_000)
    page.locator(
        "#search-results .search-summary, #search-results p", has_text="Search finished"
    ).first.wait_for()
    page.wait_for_load_state("networkidle")  # excerpts of what was found still come, and leaving ends them
    found.click()
    assert page.url.partition("#")[0].endswith("/api/generated/etendue.iact.Clean.html")


def test_parameters_of_a_stage_are_shown(page):
    page.goto("/api/generated/etendue.iact.Clean.html")
    field = page.locator("dl.field-list").first
    assert field.locator("dt").first.inner_text().startswith("Parameters")
    assert field.locator("dt", has_text="picture").first.is_visible()
    assert "least charge of a picture pixel" in field.inner_text()


def test_dark_and_light(page):
    page.emulate_media(color_scheme="dark")
    page.goto("/flows.html")
    ground = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    assert max(page.evaluate(ground)) < 80
    page.emulate_media(color_scheme="light")
    page.reload()
    assert min(page.evaluate(ground)) > 200
