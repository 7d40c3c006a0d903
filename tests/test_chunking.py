"""Cutting documents into passages."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from switchboard.retrieval.chunking import chunk, markdown_sections
from switchboard.types import Document


def document(text: str, source: str = "a.md") -> Document:
    return Document(source, "Title", "Topic", "2026-01-01", text, "0")


def words(text: str) -> int:
    return len(text.split())


def test_sections_become_passages_under_their_heading() -> None:
    text = "Intro.\n\n## One\n\nFirst.\n\n### Deep\nSecond.\n\nTwo\n---\n\nThird.\n"
    passages = chunk(document(text), words)
    assert [(p.heading, p.text) for p in passages] == [
        ("", "Intro."),
        ("One", "First."),
        ("One › Deep", "Second."),
        ("Two", "Third."),
    ]


def test_headings_in_code_and_quotes_are_text() -> None:
    text = "## Real *one*\n\n```\n## code\n```\n\n> ## quote\n"
    passages = chunk(document(text), words)
    assert [p.heading for p in passages] == ["Real one"]
    assert "## code" in passages[0].text


def test_a_first_level_heading_like_the_title_is_not_named() -> None:
    assert [s.heading for s in markdown_sections(document("# Title\na\n## B\nc"))] == ["", "", "B"]


def test_plain_text_has_no_headings() -> None:
    passages = chunk(document("# no heading\ntext", "a.txt"), words)
    assert [(p.heading, p.text) for p in passages] == [("", "# no heading\ntext")]


def test_a_long_section_is_cut_between_sentences() -> None:
    text = "## Long\n\n" + " ".join(f"Sentence {n} has exactly six words." for n in range(40))
    passages = chunk(document(text), words, max_tokens=60)
    assert len(passages) > 3
    assert all(words(f"{p.title} {p.heading} {p.text}") <= 60 for p in passages)
    assert all(p.text.endswith("words.") for p in passages)


LINES = st.one_of(
    st.sampled_from(["", "# A", "## B b", "### *C*", "---", "===", "```", "> q", "- i", "    code", "| a |", "\t"]),
    st.text(alphabet="ab cé€😀.#*_`\u2028\x0b", max_size=60),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, max_size=25).map("\n".join), st.sampled_from(["a.md", "a.txt"]), st.integers(5, 60))
def test_offsets_reproduce_the_text_and_nothing_but_headings_is_lost(text: str, source: str, limit: int) -> None:
    whole = document(text, source)
    passages = chunk(whole, words, limit)
    covered = bytearray(len(text))
    end = 0
    for passage in passages:
        assert passage.text == text[passage.start : passage.end]
        assert passage.text == passage.text.strip()
        assert passage.text
        assert passage.start >= end
        end = passage.end
        covered[passage.start : passage.end] = b"\1" * (passage.end - passage.start)
    for section in markdown_sections(whole) if source == "a.md" else []:
        for position in range(section.start, section.end):
            assert covered[position] or text[position].isspace()
    if source == "a.txt":
        assert re.sub(r"\s", "", text) == re.sub(r"\s", "", "".join(p.text for p in passages))
