"""Answering by quoting: what may be written, and who chooses."""

from __future__ import annotations

import torch

from switchboard.citations import check_citations
from switchboard.generation.quoting import quoted, write
from switchboard.types import Quote


class Letters:
    """A tokenizer of one token a letter."""

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        assert not add_special_tokens
        return [ord(letter) for letter in text]


class Model:
    """Finds some tokens likely after a text; remembers what it was given to read."""

    def __init__(self, *likely: int) -> None:
        self.likely = list(likely)
        self.read: list[str] = []

    def __call__(self, tokens: list[int]) -> torch.Tensor:
        self.read.append("".join(map(chr, tokens)))
        return self.logits()

    def logits(self) -> torch.Tensor:
        logits = torch.zeros(400)
        if self.likely:
            logits[self.likely.pop(0)] = 100.0
        return logits


def answer(model: Model, *quotes: Quote) -> tuple[str, list[bool]]:
    written = list(write(model, model.logits(), Letters(), quotes))
    return "".join(chr(token) for token, _ in written), [computed for _, computed in written]


def test_only_sentences_of_the_passages_are_written_each_with_its_citation() -> None:
    one, two = Quote("A fee is £5.", 2, 1.0), Quote("- Be quick", 1, 0.5)
    text, _ = answer(Model(), one, two)
    assert text == "A fee is £5 [2].\nBe quick [1]."
    assert set(check_citations(text, 2)[1]) == {1, 2}
    assert quoted(Quote("Do this:\n1. Wait.", 1, 0.0)) == "Do this:\n1. Wait [1]."


def test_the_model_chooses_where_the_scores_are_close_and_they_overrule_it_where_they_are_not() -> None:
    def first(gap: float) -> str:
        return answer(Model(ord("B")), Quote("A fee.", 1, gap), Quote("By day.", 2, 0.0))[0][0]

    assert (first(0.1), first(1000.0)) == ("B", "A")


def test_a_sentence_that_suits_much_less_is_not_added() -> None:
    assert answer(Model(), Quote("A fee.", 1, 3.0), Quote("By day.", 2, -9.0))[0] == "A fee [1]."


def test_nothing_is_computed_where_one_sentence_is_left() -> None:
    model = Model()
    text, computed = answer(model, Quote("A fee is due.", 1, 0.0), Quote("A fee is paid.", 2, -1.0))
    # The choice between "due" and "paid", and nothing else.
    assert model.read == ["A fee is "]
    assert text == "A fee is due [1].\nA fee is paid [2]."
    assert sum(computed) == 1


def test_a_sentence_that_begins_another_can_be_written() -> None:
    short, long = Quote("A fee", 1, 5.0), Quote("A fee [1]. More", 1, 0.0)
    assert answer(Model(), short, long)[0].startswith("A fee [1].")


def test_each_thing_asked_gets_a_sentence_of_its_own() -> None:
    fee, late, day = Quote("A fee.", 1, 9.0), Quote("A late fee.", 1, 8.0), Quote("By day.", 2, -9.0, asked=1)
    assert answer(Model(), fee, late, day)[0] == "A fee [1].\nBy day [2]."
