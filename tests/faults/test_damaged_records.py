"""Damage to what was written down: ratings, votes, articles, known questions and the report."""

from __future__ import annotations

import csv
import io
import random
import re
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from causing import DAMAGES, fault, sentence
from kept import Kept

from switchboard.conversations import ConversationStore
from switchboard.database import Database
from switchboard.errors import StorageError
from switchboard.feedback import FeedbackStore
from switchboard.retrieval.shared import SharedDocuments
from switchboard.settings import ROOT
from switchboard.types import Answer, Metrics
from switchboard.ui.advice import verdict
from switchboard.ui.results import behind, read_report, results
from switchboard.votes import VoteStore

ANSWER = Answer("rag", "Fibre 500 is £36 a month. " * 20, metrics=Metrics(output_tokens=7), done=True)
ROWS = 300
LEAST = {
    "first bytes flipped": ROWS,
    "bytes flipped in the middle": ROWS - 10,
    "last bytes flipped": ROWS - 10,
    "cut in half": ROWS // 3,
}
"""How many of the rows must be there again; the other damages leave nothing to save."""


def written(store: FeedbackStore) -> list[str]:
    file = io.StringIO(newline="")
    store.export_csv(file)
    return [row["id"] for row in csv.DictReader(io.StringIO(file.getvalue(), newline=""))]


@pytest.fixture(scope="module")
def ratings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ratings") / "feedback.sqlite"
    store = FeedbackStore(Database.at(path))
    for n in range(ROWS):
        store.add(f"id{n}", f"question {n}", ANSWER, liked=bool(n % 2))
    return path


@pytest.fixture(scope="module")
def votes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("votes") / "votes.sqlite"
    store = VoteStore(Database.at(path))
    for n in range(ROWS):
        store.add(f"id{n}", f"question {n}", ANSWER, ANSWER, "left")
    return path


def overwrite(path: Path, seed: int) -> None:
    """Put noise into five places of a file."""
    data, chance = bytearray(path.read_bytes()), random.Random(seed)
    for _ in range(5):
        at = chance.randrange(len(data) - 64)
        data[at : at + 64] = chance.randbytes(64)
    path.write_bytes(data)


def aside(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if re.search(r"-damaged-\d{8}-\d{6}", path.name)]


@fault(
    "The file of ratings is damaged.",
    "Nothing: the rating is stored.",
    "Sets the file aside under a dated name, deletes nothing of it, and takes over all rows that can be read.",
)
@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "gone"])
def test_ratings_damaged(ratings: Path, tmp_path: Path, damage: str) -> None:
    path = Path(shutil.copy(ratings, tmp_path))
    DAMAGES[damage](path)
    before = path.read_bytes() if path.is_file() else b""
    store = FeedbackStore(Database.at(path))
    store.add("new", "q", ANSWER, liked=True)
    found = written(store)
    assert "new" in found
    assert len(found) > LEAST.get(damage, 0)
    kept = aside(tmp_path)
    assert len(kept) == 1 or len(found) == ROWS + 1 or not before
    assert all(one.is_dir() or one.read_bytes() == before for one in kept)
    assert written(FeedbackStore(Database.at(path))) == found


@fault("Five places of the file of ratings are overwritten, at random.", "As above.", "As above.")
@pytest.mark.parametrize("seed", range(10))
def test_ratings_damaged_at_random(ratings: Path, tmp_path: Path, seed: int) -> None:
    path = Path(shutil.copy(ratings, tmp_path))
    overwrite(path, seed)
    store = FeedbackStore(Database.at(path))
    store.add("new", "q", ANSWER, liked=True)
    assert len(written(store)) > ROWS * 2 // 3
    assert len(aside(tmp_path)) <= 1


@fault("The file of ratings is damaged while the program runs.", "At most one rating is asked for again.", "As above.")
def test_ratings_damaged_while_running(ratings: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(ratings, tmp_path))
    store = FeedbackStore(Database.at(path))
    store.add("before", "q", ANSWER, liked=True)
    DAMAGES["noise"](path)
    for _ in range(2):
        with suppress(StorageError):  # the page asks to try again, see test_disks
            store.add("after", "q", ANSWER, liked=True)
    assert written(store) == ["after"]
    assert len(aside(tmp_path)) == 1


@fault("The file of votes is damaged.", "Nothing: the vote is stored and the tally is shown.", "As for ratings.")
@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "gone"])
def test_votes_damaged(votes: Path, tmp_path: Path, damage: str) -> None:
    path = Path(shutil.copy(votes, tmp_path))
    DAMAGES[damage](path)
    store = VoteStore(Database.at(path))
    store.tally()
    store.add("new", "q", ANSWER, ANSWER, "tie")
    record = store.tally()["rag"]
    assert record.tied == 2
    assert record.votes // 2 > LEAST.get(damage, 0)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("documents") / "documents.sqlite"
    store = SharedDocuments(Database.at(path), "help")
    for n in range(ROWS):
        store.put(f"added/{n}.md", document(n))
    return path


def document(number: int) -> bytes:
    return f"# Fee {number}\n\n{f'Fee number {number} is £{number}.50. ' * 20}".encode()


@fault(
    "The file of documents that the staff added is damaged.",
    "The documents that are whole are found; none is shown that is not as it was added.",
    "As for ratings; a document whose bytes are others is left out, with a line that says to add it again.",
)
@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "gone"])
def test_staff_documents_damaged(documents: Path, tmp_path: Path, damage: str) -> None:
    path = Path(shutil.copy(documents, tmp_path))
    DAMAGES[damage](path)
    store = SharedDocuments(Database.at(path), "help")
    check_documents(store, LEAST.get(damage, 0))
    store.put("added/new.md", document(1))
    assert store.data("added/new.md") == document(1)


@fault("Five places of that file are overwritten, at random.", "As above.", "As above.")
@pytest.mark.parametrize("seed", range(10))
def test_staff_documents_damaged_at_random(documents: Path, tmp_path: Path, seed: int) -> None:
    path = Path(shutil.copy(documents, tmp_path))
    overwrite(path, seed)
    check_documents(SharedDocuments(Database.at(path), "help"), ROWS * 2 // 3)


def check_documents(store: SharedDocuments, least: int) -> None:
    """Assert that so many are found, each as it was added, and that the others are named."""
    lines: list[str] = []
    found = store.over([], lines.append)
    assert len(found) >= least
    added = {document(n) for n in range(ROWS)}
    for one in found:
        data = store.data(one.source)
        assert data in added
        assert one.text.strip() in data.decode()
    for line in lines:  # the name may be damaged as well
        assert re.fullmatch(r"Left out: .+ was damaged in the database; add it again\.", line)


@pytest.fixture(scope="module")
def conversations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("conversations") / "conversations.sqlite"
    store = ConversationStore(Database.at(path))
    for n in range(ROWS):
        store.save(f"person {n}", {"id": f"id{n}", "title": f"Fee {n}", "turns": [{"question": "How much? " * 40}]})
    return path


@fault(
    "The file of conversations is damaged.",
    "The conversations that are whole.",
    "As for ratings; a conversation of which half is left is left out.",
)
@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "gone"])
def test_conversations_damaged(conversations: Path, tmp_path: Path, damage: str) -> None:
    path = Path(shutil.copy(conversations, tmp_path))
    DAMAGES[damage](path)
    store = ConversationStore(Database.at(path))
    found = [(n, one) for n in range(ROWS) for one in store.of(f"person {n}")]
    assert len(found) >= LEAST.get(damage, 0)
    assert all((one["id"], one["title"]) == (f"id{n}", f"Fee {n}") for n, one in found)
    store.save("new", {"id": "new", "title": "New", "turns": []})
    assert store.of("new")[0]["title"] == "New"


@fault(
    "An article of the knowledge folder is damaged.",
    "The other articles answer; a damaged one that still is text answers with what is left of it.",
    "Leaves out what cannot be read and says why in a line, until the file is mended.",
)
@pytest.mark.parametrize("damage", DAMAGES)
def test_article_damaged(kept: Kept, tmp_path: Path, damage: str) -> None:
    knowledge = tmp_path / "knowledge"
    shutil.copytree(kept.knowledge, knowledge)
    kept = Kept(tmp_path, knowledge)
    kept.start().close()
    victim = next(path for path in sorted(knowledge.glob("*.md")) if path.name != "late-payment-fee.md")
    DAMAGES[damage](victim)
    index = kept.start()
    left_out = [line for line in kept.lines if line.startswith("Left out") and victim.name in line]
    if damage in ("emptied", "noise"):
        assert len(left_out) == 1
        assert sentence(left_out[0])
    assert index.search("late payment fee", 1).passages[0].source == "late-payment-fee.md"
    assert len(index.documents) >= 5
    index.close()


@fault(
    "The file of known questions is damaged.",
    "Nothing, but that fewer questions are known.",
    "Leaves out the lines that cannot be read, each named with its number.",
)
@pytest.mark.parametrize("damage", DAMAGES)
def test_known_questions_damaged(kept: Kept, tmp_path: Path, damage: str) -> None:
    knowledge = tmp_path / "knowledge"
    shutil.copytree(kept.knowledge, knowledge)
    DAMAGES[damage](knowledge / "asked.jsonl")
    kept = Kept(tmp_path, knowledge)
    index = kept.start()
    assert index.search("late payment fee", 1).passages[0].source == "late-payment-fee.md"
    assert len(index.documents) == 6
    index.close()


def shown(path: Path) -> None:
    """Show all that the pages show of a report."""
    report = read_report(path, also=lambda report: verdict(report, {}, {}))
    assert results(report)
    assert verdict(report, {}, {})
    assert behind(report, "rag", "all_facts")


@fault(
    "The measured report is damaged.",
    "Results: what can be shown of it, or “Nothing measured yet” and how to make one. All else works.",
    "The same, and a line that says so, until there is a new report.",
)
@pytest.mark.parametrize("damage", DAMAGES)
def test_report_damaged(tmp_path: Path, damage: str) -> None:
    path = Path(shutil.copy(ROOT / "evaluation" / "report.json", tmp_path))
    DAMAGES[damage](path)
    shown(path)


@fault("The report's numbers, names and lists are swapped for others, at random.", "As above.", "As above.")
def test_report_of_wrong_shapes(tmp_path: Path) -> None:
    text = (ROOT / "evaluation" / "report.json").read_text(encoding="utf-8")
    chance = random.Random(3)
    places = [match.span() for match in re.finditer(r'(?<=: )(-?[\d.]+|"[^"]*"|\[\]|null|true|false)', text)]
    for _ in range(40):
        start, end = chance.choice(places)
        other = chance.choice(["null", "[]", "{}", '"x"', "-1", "0", "1e999", "true", "[[[]]]"])
        path = tmp_path / "report.json"
        path.write_text(text[:start] + other + text[end:], encoding="utf-8")
        shown(path)
