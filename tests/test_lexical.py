"""BM25."""

from __future__ import annotations

from switchboard.retrieval.lexical import LexicalIndex


def test_rare_and_inflected_words_find_their_text() -> None:
    index = LexicalIndex(["Ask for a PAC code by text", "Cancelling your fibre", "The router's lights"])
    assert [number for number, _ in index.search("pac", 5)] == [0]
    assert [number for number, _ in index.search("how do I cancel fibre?", 5)] == [1]
    assert index.search("light", 1)[0][0] == 2


def test_scores_fall_and_texts_without_a_shared_word_are_left_out() -> None:
    found = LexicalIndex(["fee fee late", "late", "nothing here"]).search("late fee", 10)
    assert [number for number, _ in found] == [0, 1]
    assert found[0][1] > found[1][1] > 0


def test_equal_texts_keep_their_order_and_n_is_kept() -> None:
    index = LexicalIndex(["same words"] * 5)
    assert [number for number, _ in index.search("words", 3)] == [0, 1, 2]


def test_nothing_to_find() -> None:
    assert LexicalIndex([]).search("x", 3) == []
    assert LexicalIndex(["", "the of"]).search("x", 3) == []
    assert LexicalIndex(["word"]).search("unknown 😀", 3) == []
    assert LexicalIndex(["word"]).search("", 3) == []


def test_one_like_another_finds_the_same_as_one_by_itself() -> None:
    first = LexicalIndex(["late fee", "red lamp", "fibre prices"])
    texts = ["late fee", "fibre prices", "a fee for boats"]
    like, alone = LexicalIndex(texts, first), LexicalIndex(texts)
    assert like.search("fees", 3) == alone.search("fees", 3)
    assert like.search("lamp", 3) == []
    assert first.search("lamp", 3)


def test_the_share_of_words_that_stand_in_no_text_weighs_the_rare_ones_most() -> None:
    index = LexicalIndex(["the fee for a late bill", "late trains", "late again", "a bill"])
    assert index.unseen("late fees", [0]) == 0.0
    assert 0.5 < index.unseen("late fee", [1]) < 1.0
    assert index.unseen("late trombone", [0, 1]) > index.unseen("late trains", [0, 2])
    assert index.unseen("trombone", range(4)) == 1.0
    assert index.unseen("fee", []) == 1.0
    assert index.unseen("of the", [0]) == 0.0
    assert LexicalIndex([]).unseen("fee", []) == 0.0
