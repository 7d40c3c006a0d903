"""Payloads in every place of the real page where a stranger's text is shown: none runs, fetches or becomes an element.

The first test drives all of them at once, the others, of `make test-attacks`, each of them alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from demo import Demo, DemoIndex, SlowGenerator, WordRetriever, demo
from payloads import PAYLOADS
from playwright.sync_api import BrowserContext, Dialog, Page, Request, expect
from steps import LAST, answer, ask, choose

from switchboard.retrieval.formats import clean
from switchboard.switch import Switchboard
from switchboard.types import Document, GenerationSettings, Grounding, Message, Token
from switchboard.ui.app import create_app, launch_options

WORD = "zanzibar"
"""What every hostile document holds, and every question for one."""

_CENSUS = """() => {
    const found = [...document.querySelectorAll("*")].filter((one) =>
        [...one.attributes].some((a) => a.name.startsWith("on") || /^\\s*(javascript|data:text)/i.test(a.value))
        || /evil\\.example/.test(one.getAttribute("src") || one.getAttribute("href") || one.getAttribute("style") || "")
        || one.matches("script, iframe, object, embed, base, meta, math, marquee, xmp"));
    const ours = "#transcript, #sources, #article, #documents-list, #documents-said, #inspect-seen, #board, "
        + "#conversation-list, #change-said, #export-menu";
    for (const box of document.querySelectorAll(ours))
        found.push(...box.querySelectorAll("img, svg, style, link, video, audio, form, input, textarea, template"));
    return found.map((one) => one.outerHTML.slice(0, 200)).sort();
}"""


class Parrot(SlowGenerator):
    """Says what its payload of the moment is."""

    def __init__(self) -> None:
        super().__init__(pause=0.0)
        self.says = ""

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """As many as there are messages: no payload is too long to be read."""
        return len(messages)

    def stream(
        self,
        messages: Sequence[Message],
        settings: GenerationSettings,
        adapter: str | None,
        _grounding: Grounding | None = None,
    ) -> Iterator[Token]:
        yield Token(self.says, self.count_tokens(messages), 0)
        yield Token(" [1]", self.count_tokens(messages), 0)
        yield Token("\n\nThat is all [1]", self.count_tokens(messages), 0)  # seen also below what shows nothing


def poisoned(texts: Sequence[str]) -> DemoIndex:
    """Documents with each text as title, topic, date, heading, name and body."""
    made = {}
    for number, text in enumerate(texts):
        source = clean(f"{number}/{text}.md")
        body = f"{WORD} {text}\n\n## {text}\n\n{WORD} and {text}"
        made[source] = Document(source, text, text, text, body, "0" * 64)
    index = DemoIndex(made)
    index.threshold = 0.0
    return index


@dataclass
class Watch:
    """What a page did that no text may make it do."""

    page: Page
    origin: str
    before: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("dialog", self._dialog)
        self.page.on("request", self._request)
        self.before = self.page.evaluate(_CENSUS)

    def _dialog(self, dialog: Dialog) -> None:
        self.seen.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.origin, "data:", "blob:")):
            self.seen.append(f"a request to {request.url}")

    def check(self, where: str) -> None:
        """Assert that nothing happened; handlers are given their chance first."""
        self.page.mouse.move(300, 300)
        self.page.mouse.move(900, 400)
        self.page.wait_for_timeout(50)
        assert self.page.evaluate("window.__xss") is None, where
        assert not self.seen, (where, self.seen)
        left = list(self.before)
        new = [one for one in self.page.evaluate(_CENSUS) if one not in left or left.remove(one)]
        assert not new, (where, new)


@dataclass(frozen=True)
class Stage:
    """The page over a parrot and poisoned documents."""

    url: str
    running: Demo
    parrot: Parrot

    def put(self, texts: Sequence[str]) -> None:
        """Have the model say the texts, and the documents hold them."""
        self.parrot.says = "\n\n".join(texts)
        self.running.knowledge.current = poisoned(texts)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    running = demo(tmp_path_factory.mktemp("xss"), pause=0.0)
    parrot = Parrot()
    running = replace(running, answers=Switchboard(parrot, WordRetriever(), running.settings.company))
    app = create_app(running)
    options = {**launch_options(running.settings), "server_port": None, "quiet": True}
    _, address, _ = app.launch(**options, prevent_thread_lock=True)
    yield Stage(address, running, parrot)
    app.close()


def opened(visitor: BrowserContext, stage: Stage, path: str = "", ready: str = ".welcome, .turn") -> tuple[Page, Watch]:
    page = visitor.new_page()
    page.goto(stage.url.rstrip("/") + path)
    page.wait_for_selector(ready)
    page.wait_for_timeout(300)
    parts = urlsplit(stage.url)
    return page, Watch(page, f"{parts.scheme}://{parts.netloc}")


def in_the_chat(page: Page, watch: Watch, question: str) -> None:
    """Question, answer, sources and the article dialog."""
    ask(page, f"{WORD} {question}")
    expect(answer(page)).to_be_visible()
    watch.check("chat and sources")
    for _ in range(2):
        page.locator(f"{LAST} [data-action=edit]").hover()
    cite = page.locator(f"{LAST} .cite").last
    if cite.count():
        cite.hover()
        cite.click()
    page.locator("#sources details[open] [data-action=article]").first.click()
    expect(page.locator("#article[open] .article-text")).to_be_visible()
    watch.check("article dialog")
    page.keyboard.press("Escape")


def in_the_drawer(page: Page, watch: Watch, texts: Sequence[str]) -> None:
    """File names, titles, bodies, what becomes of each file, and what a search sees."""
    page.locator('[data-action="documents"]').click()
    files = [
        {"name": f"{text[:200]}.md", "mimeType": "text/markdown", "buffer": f"# {text}\n\n{WORD} {n} {text}".encode()}
        for n, text in enumerate(texts)
    ]
    broken = [{"name": f"{text[:200]}.pdf", "mimeType": "x", "buffer": text.encode()} for text in texts[:3]]
    for some in ([*files, *broken][start : start + 15] for start in range(0, len(files) + len(broken), 15)):
        page.locator("#add-files input[type=file]").set_input_files(some)
        expect(page.locator("#documents-said li:not(.busy)").first).to_be_visible()
        expect(page.locator("#documents-said .busy")).to_have_count(0)
        watch.check("documents drawer")
        page.locator("#documents-forget").click()
        expect(page.locator("#documents-said")).to_contain_text("gone")
    for shut in page.locator("#documents-list details").all():
        shut.evaluate("(one) => { one.open = true; }")
    watch.check("the list of documents")
    page.get_by_text("What a search sees").click()
    page.locator("#inspect-query textarea").fill(f"{WORD} {texts[0][:500]}")
    page.locator("#inspect-search").click()
    expect(page.locator("#inspect-seen li").first).to_be_visible()
    watch.check("what a search sees")
    page.keyboard.press("Escape")


def kept_and_exported(page: Page, watch: Watch, folder: Path, texts: Sequence[str]) -> None:
    """The list of conversations, a conversation that comes back from the browser's storage, and both exports."""
    page.locator('[data-action="conversations"]').click()
    watch.check("the list of conversations")
    page.keyboard.press("Escape")
    for kind in ("md", "json"):
        page.locator('[data-action="export"][aria-controls]').click()
        with page.expect_download() as download:
            page.locator(f'[data-format="{kind}"]').click()
        assert download.value.suggested_filename == f"switchboard-conversation.{kind}"
        file = folder / f"export.{kind}"
        download.value.save_as(file)
        if kind == "json":
            assert json.loads(file.read_text(encoding="utf-8"))["turns"]
    page.evaluate(
        """(texts) => {
            const list = JSON.parse(localStorage["switchboard.conversations"]);
            for (const one of list) {
                one.title = texts.join(" ");
                for (const turn of one.turns.filter((turn) => turn.answer)) {
                    turn.question = texts.join(" ");
                    turn.answer.text = texts.join("\\n\\n");
                    turn.answer.notice = texts.join(" ");
                    turn.error = texts.join(" ");
                }
            }
            list.push({id: texts[0], title: texts.at(-1), turns: [{id: texts[1], question: texts[2]}]});
            localStorage["switchboard.conversations"] = JSON.stringify(list);
        }""",
        [text[:3000] for text in texts],
    )
    page.reload()
    page.wait_for_selector(".turn")
    watch.check("a restored conversation")


def on_compare(page: Page, watch: Watch, question: str) -> None:
    page.locator("#question textarea").fill(f"{WORD} {question}"[:3900])
    page.locator("#ask").click()
    page.wait_for_selector('.round:first-child[data-state="done"]')
    page.locator(".column-sources summary").first.click()
    watch.check("the comparison")


def on_change(page: Page, watch: Watch, text: str) -> None:
    page.locator("#change-text textarea").fill(f"{WORD} {text}"[:19_000])
    page.locator("#change-save").click()
    expect(page.locator("#change-said")).to_contain_text("is indexed")
    page.locator("#question textarea").fill(f"{WORD} {text}"[:3900])
    page.locator("#ask").click()
    page.wait_for_selector('.round:first-child[data-state="done"]')
    watch.check("the page of a changed fact")


def test_no_payload_runs_wherever_it_is_shown(visitor: BrowserContext, stage: Stage, tmp_path: Path) -> None:
    stage.put(PAYLOADS)
    text = "\n\n".join(PAYLOADS)
    page, watch = opened(visitor, stage)
    in_the_chat(page, watch, text[:3500])
    in_the_drawer(page, watch, PAYLOADS[::8])
    kept_and_exported(page, watch, tmp_path, PAYLOADS)
    page, watch = opened(visitor, stage, "/compare", ".board-empty")
    on_compare(page, watch, text)


def test_what_looks_like_markup_is_shown_as_it_was_written(visitor: BrowserContext, stage: Stage) -> None:
    said = "<b>bold</b> ![pic](https://evil.example/x.png) ${1+1}"
    stage.put([said])
    page, watch = opened(visitor, stage)
    ask(page, f"{WORD} {said}")
    expect(answer(page)).to_contain_text(said)
    expect(page.locator(f"{LAST} .question-text")).to_contain_text(said)
    watch.check("chat")


@pytest.mark.attacks
@pytest.mark.timeout(1200)
def test_no_payload_runs_in_chat_sources_and_article(visitor: BrowserContext, stage: Stage, tmp_path: Path) -> None:
    page, watch = opened(visitor, stage)
    for number, payload in enumerate(PAYLOADS):
        stage.put([payload])
        if number % 20 == 0 and number:
            page.locator('[data-action="new"]').click()
            page.wait_for_selector(".welcome")
        choose(page, "Fine-tuned")
        ask(page, payload[:3900] if payload.strip() else "x")
        watch.check(payload)
        choose(page, "RAG")
        in_the_chat(page, watch, payload[:3900])
        if number % 9 == 0:
            kept_and_exported(page, watch, tmp_path, [payload] * 3)


@pytest.mark.attacks
@pytest.mark.timeout(1200)
def test_no_payload_runs_in_the_drawer_of_documents(visitor: BrowserContext, stage: Stage) -> None:
    page, watch = opened(visitor, stage)
    for start in range(0, len(PAYLOADS), 10):
        stage.put(PAYLOADS[start : start + 10])
        page.reload()
        page.wait_for_selector(".welcome")
        page.wait_for_timeout(300)
        in_the_drawer(page, watch, PAYLOADS[start : start + 10])


@pytest.mark.attacks
@pytest.mark.timeout(1200)
def test_no_payload_runs_on_compare_and_change(visitor: BrowserContext, stage: Stage) -> None:
    page, watch = opened(visitor, stage, "/compare", ".board-empty")
    for payload in PAYLOADS:
        stage.put([payload])
        on_compare(page, watch, payload)
    for payload in PAYLOADS[::4]:
        stage.put([payload])
        page, watch = opened(visitor, stage, "/change", "#change-text textarea")
        page.wait_for_timeout(500)
        on_change(page, watch, payload)
        page.close()
