"""Answering in replies that an adapter was taught: the weights choose which, and no figure is made up.

What a small model remembers of a fact is mostly enough to tell its reply from all others and seldom enough to write it
without a slip: a figure of the next plan, two replies joined to a third that was never true. So an adapter may bring
the replies it was taught (`replies.json` beside its weights), and the answer is the likeliest one of them, less what it
owes to being likely whatever is asked. It is found by a beam search over their tokens, in which only a token that goes
on with some reply is allowed. (Constrained beam search over a prefix tree: De Cao and others, Autoregressive entity
retrieval, ICLR 2021.) Nothing is searched for: the tree knows no question, and the choice is made by the model's
probabilities alone.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from switchboard.errors import AdapterError
from switchboard.generation.decline import unreadable
from switchboard.generation.fast.states import States
from switchboard.generation.taught_words import TaughtWords, read_words

if TYPE_CHECKING:
    from transformers import DynamicCache

REPLIES_FILE = "replies.json"
BEAMS = 4
"""Beginnings of replies that are followed at a time. Of 60 development questions one had the right reply for 40 %, two
for 53 %, four for 60 % and eight for 60 %."""
PRIOR = 0.2
"""How much of a reply's log probability without a question is taken off: what is likely whatever is asked is a poor
answer. On the same questions 0.2 made 60 % right 65 %, and 0.5 less. From: Holtzman and others, Surface form
competition, EMNLP 2021, whose domain-conditional PMI takes off all of it."""
NEUTRAL = "Hello, I have a question."


@dataclass
class Node:
    """A place in the tree of replies: what may follow, and the replies that go through it."""

    following: dict[int, Node] = field(default_factory=dict)
    replies: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Replies:
    """An adapter's replies as a tree of tokens.

    `tokens` are the replies, each with the token that ends it. Where the sentence that declines, `decline`, is likelier
    than the likeliest reply by more than `margin`, a natural logarithm, the answer is that sentence. `priors` are the
    replies' log probabilities after NEUTRAL, which says nothing of what they answer. The words for which they were
    `taught` speak against a reply to a question that has others.
    """

    tokens: tuple[tuple[int, ...], ...]
    decline: tuple[int, ...]
    margin: float
    tree: Node
    priors: tuple[float, ...]
    taught: TaughtWords | None = None

    @classmethod
    def of(
        cls,
        replies: Sequence[str],
        decline: str,
        margin: float,
        tokenizer: Any,
        priors: Sequence[float] = (),
        taught: TaughtWords | None = None,
    ) -> Replies:
        """Make the tree of the replies' texts, which are all different."""
        end = int(tokenizer.eos_token_id)

        def ids(text: str) -> tuple[int, ...]:
            return (*tokenizer.encode(text, add_special_tokens=False), end)

        rows = tuple(ids(text) for text in replies)
        tree = Node()
        for number, row in enumerate(rows):
            node = tree
            node.replies.append(number)
            for token in row:
                node = node.following.setdefault(token, Node())
                node.replies.append(number)
        return cls(rows, ids(decline), margin, tree, tuple(priors) or (0.0,) * len(rows), taught)


@dataclass(frozen=True)
class Choice:
    """The chosen reply's tokens, without the one that ends it, how many natural logarithms likelier it is that the
    adapter declines, and the reply's number."""

    tokens: tuple[int, ...]
    decline: float
    reply: int

    def asked(self, question: str, replies: Replies) -> Choice:
        """The same with what the question's words say against it."""
        against = replies.taught.against(question, self.reply) if replies.taught else 0.0
        return replace(self, decline=self.decline + against)


def read_replies(adapter: Path, tokenizer: Any) -> Replies | None:
    """The replies in an adapter's folder; None where it brings none. Raises AdapterError where they cannot be read."""
    try:
        row = json.loads((adapter / REPLIES_FILE).read_text(encoding="utf-8"))
        replies = [str(text) for text in row["replies"]]
        likely = [float(value) for value in row.get("priors", [])]
        if not replies or len(set(replies)) < len(replies) or (likely and len(likely) != len(replies)):
            raise ValueError("replies are missing or there twice, or their priors are not theirs")
        taught = read_words(row, len(replies))
        return Replies.of(replies, str(row["decline"]), float(row["margin"]), tokenizer, likely, taught)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AdapterError(unreadable(adapter / REPLIES_FILE, error)) from error


@torch.inference_mode()
def measure_priors(
    model: Any, replies: Replies, logits: torch.Tensor, cache: DynamicCache, batch: int = 16
) -> list[float]:
    """The log probability of each reply after a prompt whose states are in `cache`, which is left as it was."""
    first = logits.float().log_softmax(-1)
    found: list[float] = []
    for start in range(0, len(replies.tokens), batch):
        rows = replies.tokens[start : start + batch]
        states = copy.deepcopy(cache)
        states.batch_repeat_interleave(len(rows))
        rests = _rest(model, rows, states)
        found += [float(first[row[0]]) + rest for row, rest in zip(rows, rests, strict=True)]
    return found


Beam = tuple[float, tuple[int, ...], Node]
"""How likely a beginning is, its tokens, and where in the tree it stands."""


@torch.inference_mode()
def choose(model: Any, replies: Replies, logits: torch.Tensor, cache: DynamicCache | States) -> Choice:
    """The likeliest reply after a prompt whose states are in `cache`, which is used up; `logits` (vocabulary,) follow
    it."""
    first = logits.float().log_softmax(-1)
    declining = float(first[replies.decline[0]]) + _rest(model, [replies.decline], copy.deepcopy(cache))[0]
    beams: list[Beam] = [(float(first[token]), (token,), node) for token, node in replies.tree.following.items()]
    beams = sorted(beams, key=_score)[:BEAMS]
    cache.batch_repeat_interleave(len(beams))
    while any(node.following and len(node.replies) > 1 for _, _, node in beams):
        last = torch.tensor([[written[-1]] for _, written, _ in beams], device=logits.device)
        likely = model(input_ids=last, past_key_values=cache, use_cache=True).logits[:, -1].float().log_softmax(-1)
        grown: list[tuple[float, tuple[int, ...], Node, int]] = []
        for row, (score, written, node) in enumerate(beams):
            for token, following in node.following.items():
                grown.append((score + float(likely[row, token]), (*written, token), following, row))
            if not node.following:
                grown.append((score, written, node, row))
        grown = sorted(grown, key=_score)[:BEAMS]
        cache.batch_select_indices(torch.tensor([row for *_, row in grown], device=logits.device))
        beams = [(score, written, node) for score, written, node, _ in grown]
    # Each beam has one reply left. Its rest can only make it less likely, so that mostly the first one's is enough.
    whole = [replies.tokens[node.replies[0]] for _, _, node in beams]
    owed = [PRIOR * replies.priors[node.replies[0]] for _, _, node in beams]
    found: dict[int, float] = {}
    for row in sorted(range(len(beams)), key=lambda row: owed[row] - beams[row][0]):
        score, written, _ = beams[row]
        if any(score - owed[row] <= found[other] - owed[other] for other in found):
            break
        states = copy.copy(cache) if isinstance(cache, States) else copy.deepcopy(cache)
        states.batch_select_indices(torch.tensor([row], device=logits.device))
        found[row] = score + _rest(model, [whole[row][len(written) - 1 :]], states)[0]
    best = max(found, key=lambda row: found[row] - owed[row])
    return Choice(whole[best][:-1], declining - found[best], beams[best][2].replies[0])


def _score(row: Any) -> float:
    return -float(row[0])


def _rest(model: Any, rows: Sequence[Sequence[int]], cache: DynamicCache) -> list[float]:
    """The log probability of each row's tokens after its first one, which follows what is in the cache."""
    longest = max(len(row) for row in rows)
    if longest == 1:
        return [0.0] * len(rows)
    ids = torch.tensor([[*row, *[row[-1]] * (longest - len(row))] for row in rows], device=model.device)
    likely = model(input_ids=ids, past_key_values=cache, use_cache=True).logits.float().log_softmax(-1)
    return [sum(float(likely[n, place, token]) for place, token in enumerate(row[1:])) for n, row in enumerate(rows)]
