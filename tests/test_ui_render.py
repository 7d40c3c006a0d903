"""The page's HTML: nothing of a text becomes markup, and what should be said is said."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchboard.modes import MODES
from switchboard.types import Answer, Document, Metrics, Passage
from switchboard.ui import frame
from switchboard.ui.conversation import Conversation, State, Turn, new_conversation
from switchboard.ui.markup import highlight, link_citations, meaningful_words, render_article, render_markdown
from switchboard.ui.render import EXAMPLES, metrics_line, transcript
from switchboard.ui.sources import opened_document, sources_panel

HOSTILE = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "![picture](https://evil.example/x.png)",
    "[link](javascript:alert(1))",
    "[link][1]\n\n[1]: https://evil.example",
    "<https://evil.example>",
    "https://evil.example",
    '"><svg onload=alert(1)>',
    "</textarea></article></div><h1>free</h1>",
    "&lt;img src=x onerror=alert(1)&gt;",
    "`<b>` ${alert(1)} {{constructor}}",
    "| a |\n| - |\n| <img src=x> |",
    "```html\n<script>alert(1)</script>\n```",
]
ALLOWED = set(
    "article div h1 h2 h3 h4 h5 h6 p span header footer button i a small em strong ul ol li code pre br hr blockquote "
    "table thead tbody tr th td mark details summary time section".split()
)
PASSAGE = Passage("a.md", "Fibre plans", "Prices", "Fibre 500 costs £36.", 0, 20, "2026-01-02", 0.71)


class Elements(HTMLParser):
    """The tags of some HTML with their attributes; unclosed ones stay open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.depth = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.depth += tag not in ("br", "hr")

    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1


def check_harmless(html: str) -> None:
    elements = Elements(html)
    assert elements.depth == 0
    for tag, attributes in elements.tags:
        assert tag in ALLOWED
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcdoc")]
        if tag == "a":
            assert str(attributes["href"]).startswith("#")


def turn(answer: Answer, state: State = "done", question: str = "How much is Fibre 500?", **changes: str) -> Turn:
    made = Turn("t1", question, answer.mode, 0.0, answer, state, "")
    return replace(made, **changes)  # type: ignore[arg-type]


def html_of(made: Turn) -> str:
    return "".join(transcript(Conversation("c", (made,)), "Fernwave"))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_text(text: str) -> None:
    passage = replace(PASSAGE, title=text, heading=text, text=text, source=text, updated=text)
    answer = Answer("rag", f"{text} [1]", (passage,), passage, (1,), notice=text, done=True)
    conversation = Conversation(
        "c",
        (turn(answer, question=text), turn(replace(answer, passages=())), turn(answer, "failed", error=text)),
    )
    check_harmless("".join(transcript(conversation, text)))
    check_harmless("".join(transcript(new_conversation(), text)))
    check_harmless("".join(sources_panel(conversation)))
    document = Document(text, text, text, text, text, "")
    check_harmless(opened_document(document, bytes, {"start": 0, "end": len(text)}))


@given(st.text(alphabet="<>&\"'[]()!`*_#|-1 \n{}$a:/", max_size=60))
def test_no_text_becomes_markup_of_its_own(text: str) -> None:
    check_harmless(highlight(render_markdown(text), text))
    check_harmless(render_article(text, 1, 30))
    check_harmless(html_of(turn(Answer("rag", text, (PASSAGE,), done=True), question=text)))


def test_a_little_markdown_is_rendered() -> None:
    assert render_markdown("It is **£36**.\n\n- one\n- two") == (
        "<p>It is <strong>£36</strong>.</p>\n<ul>\n<li>one</li>\n<li>two</li>\n</ul>\n"
    )


def test_citations_point_at_their_cards() -> None:
    html = html_of(turn(Answer("rag", "It is £36 [1][2].", (PASSAGE,), cited=(1,), done=True)))
    assert '<a class="cite" href="#source-t1-1" aria-label="Source 1: Fibre plans › Prices"' in html
    assert "source-t1-2" not in html
    assert "[2]" in html
    assert 'id="source-t1-1"' in "".join(sources_panel(Conversation("c", (turn(Answer("rag", "", (PASSAGE,))),))))


def test_citations_within_tags_are_left_alone() -> None:
    assert link_citations('<p title="[1]">[1] &#91;1&#93;</p>', lambda n: f"<{n}>") == (
        '<p title="[1]"><1> &#91;1&#93;</p>'
    )


@pytest.mark.parametrize(
    ("text", "question", "marked"),
    [
        ("Monthly price of plans", "what are the prices?", ["price"]),
        ("Cancelling and cancelled", "How do I cancel?", ["Cancelling", "cancelled"]),
        ("It costs £36 &amp; more", "amp £36", ["£36"]),
        ("the of and", "the of and", []),
        ("A fee of £5", "What is the fee?", ["fee"]),
        ("Fibre 500", "fibre 500?", ["Fibre", "500"]),
    ],
)
def test_the_words_that_matter_are_marked(text: str, question: str, marked: list[str]) -> None:
    html = highlight(text, question)
    assert [part.split("</mark>")[0] for part in html.split("<mark>")[1:]] == marked
    assert html.replace("<mark>", "").replace("</mark>", "") == text


def test_stop_words_do_not_matter() -> None:
    assert meaningful_words("How much is the Fibre 500, please?") == ("fibre", "500")


TEXT = "Intro.\n\n## One\n\nFirst paragraph.\n\n- item a\n- item b\n\n## Two\n\nLast paragraph.\n"


@pytest.mark.parametrize(
    ("passage", "marked"),
    [
        ("First paragraph.", ["First paragraph."]),
        ("- item a\n- item b", ["item a", "item b"]),
        ("First paragraph.\n\n- item a", ["First paragraph.", "item a"]),
        ("Last paragraph.\n", ["Last paragraph."]),
        ("\n\nLast", ["Last paragraph."]),
    ],
)
def test_the_passage_is_marked_in_its_article_by_its_offsets(passage: str, marked: list[str]) -> None:
    start = TEXT.index(passage)
    html = render_article(TEXT, start, start + len(passage))
    assert [part.split(">", 1)[1].split("<")[0] for part in html.split('class="here"')[1:]] == marked


def test_offsets_of_another_version_of_the_article_mark_nothing_wrong() -> None:
    assert "here" not in render_article(TEXT, 5000, 6000)
    assert "here" not in render_article(TEXT, -5, 0)


@pytest.mark.parametrize("mode", MODES)
def test_every_answer_is_labelled(mode: str) -> None:
    assert f'<span class="chip" data-mode="{mode}">{MODES[mode].label}</span>' in html_of(turn(Answer(mode, "x")))


def test_the_metrics_line() -> None:
    assert metrics_line("rag", Metrics(9.4, 912.0, 812, 64, 42, 31.2, 2412.0)) == (
        "RAG · 0.9 s to first word · 2.4 s in all · 42 tokens at 31/s · prompt 812 (64 reused) · search 9 ms"
    )
    assert metrics_line("fine-tuned", Metrics(0, 80.0, 90, 0, 1, 0.0, 85.0)) == (
        "Fine-tuned · 80 ms to first word · 85 ms in all · 1 token · prompt 90"
    )


@pytest.mark.parametrize(
    ("answer", "state", "phase", "words"),
    [
        (Answer("rag"), "working", "queued", "Waiting in line"),
        (Answer("rag", waiting=2, wait_seconds=2.6), "working", "queued", "Waiting in line: 2 before you, about 3 s"),
        (Answer("rag"), "working", "searching", "Searching the help centre"),
        (Answer("rag", passages=(PASSAGE, PASSAGE)), "working", "reading", "Reading 2 passages"),
        (Answer("rag", passages=(PASSAGE,)), "working", "reading", "Reading 1 passage<"),
        (Answer("fine-tuned"), "working", "writing", "Thinking"),
        (Answer("rag", "Half an ans"), "stopped", "", "Stopped"),
        (Answer("rag"), "stopped", "", "Nothing was said."),
        (Answer("rag", "Half"), "interrupted", "", "The page was closed before this answer was finished."),
        (Answer("rag", "No.", abstained=True), "done", "", "Not covered"),
        (Answer("rag", "x", removed_citations=1), "done", "", "1 citation that pointed at nothing was removed."),
        (Answer("rag", "x", removed_citations=2), "done", "", "2 citations that pointed at nothing were removed."),
        (Answer("rag", "x", notice="A notice."), "done", "", "A notice."),
    ],
)
def test_what_is_said_of_a_turn(answer: Answer, state: State, phase: str, words: str) -> None:
    assert words in html_of(turn(answer, state, phase=phase))


def test_a_failed_turn_says_its_error_and_can_be_edited_and_retried() -> None:
    html = html_of(turn(Answer("rag"), "failed", error="Too long."))
    assert '<p class="error" role="alert">Too long.</p>' in html
    assert 'data-action="retry"' in html
    assert 'data-action="edit"' in html
    assert 'data-action="like"' not in html


def test_only_the_last_turn_can_be_retried_and_undone() -> None:
    first, last = transcript(Conversation("c", (turn(Answer("rag", "x")), turn(Answer("rag", "y")))), "Fernwave")
    for action in ("retry", "undo"):
        assert f'data-action="{action}"' not in first
        assert f'data-action="{action}"' in last


def test_the_panel_has_a_group_a_turn_with_the_latest_open() -> None:
    groups = sources_panel(Conversation("c", (turn(Answer("fine-tuned", "x")), turn(Answer("rag", "y", (PASSAGE,))))))
    assert [" open>" in group for group in groups] == [True, False]
    assert "No sources on this path" in groups[1]
    assert "0.71 similarity" in groups[0]
    assert "1 is closest" in groups[0]
    assert "Updated 2026-01-02" in groups[0]


def test_when_nothing_was_found_the_nearest_passage_is_shown() -> None:
    (group,) = sources_panel(Conversation("c", (turn(Answer("rag", "No.", nearest=PASSAGE, notice="Below 0.80.")),)))
    assert "Below 0.80." in group
    assert "0.71 similarity" in group


def test_the_welcome_asks_six_different_things() -> None:
    (html,) = transcript(new_conversation(), "Fernwave")
    assert html.count('data-action="example"') == len(EXAMPLES) == 6


def test_the_frame_escapes_what_it_is_given() -> None:
    assert "<b>" not in frame.masthead("<b>", login=True) + frame.about([("<b>", "<b>")])


def test_a_card_says_how_much_of_its_passage_was_left_out() -> None:
    def panel(passage: Passage) -> str:
        return "".join(sources_panel(Conversation("c", (turn(Answer("rag", "y", (passage,))),))))

    assert "left out" not in panel(PASSAGE)
    assert "2 sentences left out of the answer" in panel(replace(PASSAGE, left_out=2))
