"""How often "found in the passages" is right, on replies that are known to be true or false of the passages found.

    python -m switchboard.training.support_check adapters/customer-service/facts

Each fact there has a question and a reply written by hand, true of one article. Beside the passages found for the
question, the reply is held; with one figure changed it is not, and neither is the reply to a fact of an article that
was not found.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from switchboard.build import open_index
from switchboard.evaluation.statistics import wilson
from switchboard.evaluation.support import says_something, sentences, supported
from switchboard.progress import to_stderr
from switchboard.settings import Settings
from switchboard.training.facts import Fact, read_facts

FACTS = 300
_FIGURE = re.compile(r"\d+")


def changed(reply: str, rng: random.Random) -> str | None:
    """The reply with one of its figures one to nine higher; None where it has none.

    >>> changed("It costs £5.", random.Random(0))
    'It costs £12.'
    """
    found = list(_FIGURE.finditer(reply))
    if not found:
        return None
    one = rng.choice(found)
    return f"{reply[: one.start()]}{int(one[0]) + rng.randint(1, 9)}{reply[one.end() :]}"


def held(reply: str, passages: Sequence[str]) -> bool:
    """Whether all sentences of a reply that say something are found in the passages."""
    parts = [part for part in sentences(reply) if says_something(part)]
    return bool(parts) and all(supported(part, passages) for part in parts)


def main() -> None:
    """Count, and print precision and recall with 95 % intervals."""
    rng = random.Random(1)  # noqa: S311  (not for secrets)
    index = open_index(Settings.from_environment(), to_stderr)
    facts = [fact for article in read_facts(Path(sys.argv[1])) for fact in article.facts]
    counts = {"held": [0, 0], "figure changed": [0, 0], "of another article": [0, 0]}
    for fact in tqdm(rng.sample(facts, FACTS), unit="fact", file=sys.stderr):
        found = index.search(fact.asks[0], 3).passages
        sources = {passage.source.removesuffix(".md") for passage in found}
        if fact.article not in sources:
            continue
        passages = [f"{passage.label}\n{passage.text}" for passage in found]
        others: list[Fact] = [one for one in facts if one.article not in sources]
        replies = {
            "held": fact.says[-1],
            "figure changed": changed(fact.says[-1], rng),
            "of another article": rng.choice(others).says[-1],
        }
        for kind, reply in replies.items():
            if reply is not None:
                counts[kind][0] += held(reply, passages)
                counts[kind][1] += 1
    right, true = counts["held"]
    wrong = sum(found for kind, (found, _) in counts.items() if kind != "held")
    for name, part, whole in (("precision", right, right + wrong), ("recall", right, true)):
        low, high = wilson(part, whole)
        print(f"{name}: {part} of {whole}, {part / whole:.1%} ({low:.0%} to {high:.0%})")
    print(counts)


if __name__ == "__main__":
    main()
