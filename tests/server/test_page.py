"""The chat page in headless Chromium: type, stream, stop, reload, clear, the system prompt, a key, a phone's width."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.server.running import NAME, Served, load, serving, until
from weft.server.page import content

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_BROWSER = "no Chromium; Debian: apt-get install chromium"
KEY = "a-secret-key-1"

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        root = ["--no-sandbox"] if hasattr(os, "getuid") and os.getuid() == 0 else []
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=root)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with load(tmp_path_factory.mktemp("page")) as engine, serving(engine) as running:
        yield running


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """Return the page on a narrow screen; an error of its script fails the test."""
    context = browser.new_context(viewport={"width": 360, "height": 640})
    opened = context.new_page()
    opened.set_default_timeout(15_000)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda told: errors.append(told.text) if "Content Security" in told.text else None)
    opened.goto(served.url)
    expect(opened.locator("#model")).to_have_text(NAME)
    yield opened
    context.close()
    assert errors == []


def settings(page: Page, **values: str) -> None:
    """Fill in settings."""
    if not page.locator("#system").is_visible():
        page.get_by_text("Settings").click()
    for name, value in values.items():
        page.locator(f"#{name}").fill(value)


def ask(page: Page, text: str) -> None:
    """Send a message."""
    page.get_by_label("Message").fill(text)
    page.get_by_label("Message").press("Enter")


def bodies(page: Page) -> list[Any]:
    """Return the list to which the bodies of requests are appended."""
    found: list[Any] = []
    page.on(
        "request", lambda request: found.append(request.post_data_json) if request.method == "POST" else None
    )
    return found


@needs_browser
def test_an_answer_is_streamed_with_its_figures(page: Page, served: Served) -> None:
    sent = bodies(page)
    settings(page, temperature="0", most="24", system="be brief")
    ask(page, "hello the")
    figures = page.locator("article.assistant .figures")
    expect(figures).to_have_text(re.compile(r"\d+ tokens read, \d+ written, [\d.]+ tokens/s"))
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello the"}]
    assert sent[0]["messages"] == messages
    answer = served.engine.chat(messages, max_tokens=24)
    assert page.locator("article.assistant p").evaluate("each => each.textContent") == answer.text
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    expect(page.get_by_label("Message")).to_be_focused()
    ask(page, "again")
    expect(figures).to_have_count(2)
    expect(figures.nth(1)).to_have_text(re.compile("tokens/s"))
    assert [message["role"] for message in sent[1]["messages"]] == ["system", "user", "assistant", "user"]


@needs_browser
def test_stop_frees_the_slot_and_keeps_what_was_written(
    page: Page, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = served.engine.driver.scheduler.runner.step

    def slow(*arguments: Any) -> Any:
        time.sleep(0.05)  # so that the button is pressed before the end
        return step(*arguments)

    monkeypatch.setattr(served.engine.driver.scheduler.runner, "step", slow)
    settings(page, temperature="2", most="400")
    ask(page, "hello")
    stop = page.get_by_role("button", name="Stop")
    expect(stop).to_be_enabled()
    expect(page.locator("#log")).to_have_attribute("aria-busy", "true")
    expect(page.locator("article.assistant p")).not_to_have_text("")
    stop.click()
    expect(page.locator("article.assistant .figures")).to_have_text("stopped")
    expect(page.locator("#log")).to_have_attribute("aria-busy", "false")
    assert until(lambda: served.engine.stats().running == 0, 1.0) < 1.0
    expect(stop).to_be_disabled()


@needs_browser
def test_a_reload_keeps_the_conversation_and_clearing_ends_it(page: Page) -> None:
    settings(page, temperature="0", most="8", system="be brief")
    ask(page, "hello <b>bold</b>")
    expect(page.locator("article.assistant .figures")).to_have_text(re.compile("tokens/s"))
    texts = page.locator("article p").all_text_contents()
    page.reload()
    expect(page.locator("article p")).to_have_count(2)
    assert page.locator("article p").all_text_contents() == texts
    assert texts[0] == "hello <b>bold</b>"
    settings(page)
    expect(page.get_by_label("System prompt")).to_have_value("be brief")
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator("article")).to_have_count(0)
    page.reload()
    expect(page.locator("article")).to_have_count(0)


@needs_browser
def test_an_error_is_shown_and_the_message_is_not_lost(page: Page) -> None:
    ask(page, "x" * 600)
    expect(page.get_by_role("alert")).to_have_text(re.compile(r"\d+ tokens.*512"))
    expect(page.locator("article")).to_have_count(0)
    expect(page.get_by_label("Message")).to_have_value("x" * 600)


@needs_browser
def test_the_page_fits_a_phone_and_has_names_for_all_controls(page: Page) -> None:
    settings(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, textarea')].filter(each => !each.labels.length).map(each => each.id)"
    )
    assert unnamed == []
    for name in ("Send", "Stop", "New conversation"):
        button = page.get_by_role("button", name=name)
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
    page.get_by_label("Message").fill("a")
    page.get_by_label("Message").press("Shift+Enter")
    expect(page.get_by_label("Message")).to_have_value("a\n")


@needs_browser
def test_a_key_is_asked_for(browser: Browser, served: Served) -> None:
    with serving(served.engine, api_keys=(KEY,)) as guarded:
        page = browser.new_page()
        page.goto(guarded.url)
        expect(page.get_by_role("alert")).to_have_text(re.compile("no API key"))
        settings(page, key=KEY, temperature="0", most="4")
        ask(page, "hello")
        expect(page.locator("article.assistant .figures")).to_have_text(re.compile("tokens/s"))
        page.close()


def test_the_page_loads_nothing_from_elsewhere(served: Served) -> None:
    answer = served.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.content == content()[0]
    assert len(answer.content) < 20_000
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "'unsafe-inline'" not in policy
    assert re.findall(r"(?:src|href)=\"(?!data:,)", answer.text) == []
