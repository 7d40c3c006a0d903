"""Damage to the index: what Chroma keeps, the sentences' vectors, and an index that cannot be had at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from causing import DAMAGES, Page, fault, sentence
from kept import Kept

from switchboard.build import build
from switchboard.files import MANIFEST
from switchboard.settings import ROOT, Settings
from tiny_model import make_adapter

GRAPH = ("data_level0.bin", "header.bin", "index_metadata.pickle", "length.bin", "link_lists.bin")
"""The files of Chroma's graph of vectors. It crashes the whole process over some damages to them."""


def one(kept: Kept, name: str) -> Path:
    """A file of the known questions' index, which is the larger one, or the sentences' vectors."""
    if name == "parts.npz":
        (found,) = (kept.data / "index").glob("*-parts.npz")
    else:
        (found,) = kept.index.with_name(f"{kept.index.name}-asked").rglob(name)
    return found


@fault(
    "A file of the known questions' index is damaged while nothing runs.",
    "Nothing.",
    "Finds that the files are not as they were sealed, sets the folder aside under a dated name, and builds it anew.",
)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["chroma.sqlite3", *GRAPH])
def test_index_file_damaged(kept: Kept, name: str, damage: str) -> None:
    path = one(kept, name)
    DAMAGES[damage](path)
    kept.start().close()
    assert any("set aside in" in line for line in kept.lines)
    assert list((kept.data / "index").glob("*-damaged-*"))
    kept.healthy()


@fault(
    "The passages' database is damaged.",
    "Nothing.",
    "Sets the folder aside and embeds the articles anew.",
)
@pytest.mark.parametrize("damage", DAMAGES)
def test_passages_database_damaged(kept: Kept, damage: str) -> None:
    DAMAGES[damage](kept.index / "chroma.sqlite3")
    kept.start().close()
    assert any("set aside in" in line for line in kept.lines)
    kept.healthy()


@fault(
    "A process is killed while it writes the index, and has left a file that Chroma crashes over.",
    "Nothing.",
    "Has a process of its own open the index first; that one crashes, so the index is set aside and built anew.",
)
@pytest.mark.parametrize(
    ("name", "damage"),
    [("data_level0.bin", "bytes flipped in the middle"), ("header.bin", "cut in half"), ("data_level0.bin", "noise")],
    ids=["vectors flipped", "header cut in half", "vectors are noise"],
)
def test_half_written_index_that_crashes_chroma(kept: Kept, name: str, damage: str) -> None:
    path = one(kept, name)
    DAMAGES[damage](path)
    (kept.index.with_name(f"{kept.index.name}-asked") / MANIFEST).unlink()
    kept.start().close()
    assert any("set aside in" in line for line in kept.lines)
    kept.healthy()


@fault(
    "A file stands where the index's folder should be.", "Nothing.", "Sets the file aside and builds the index anew."
)
def test_index_folder_is_a_file(kept: Kept) -> None:
    folder = kept.index
    shutil.rmtree(folder)
    folder.write_text("not a folder")
    kept.start().close()
    assert any("set aside in" in line for line in kept.lines)
    kept.healthy()


@fault(
    "The file of the sentences' vectors is damaged.",
    "Nothing.",
    "Embeds the sentences anew; where the file cannot be replaced it says so, and works without.",
)
@pytest.mark.parametrize("damage", DAMAGES)
def test_sentences_vectors_damaged(kept: Kept, damage: str) -> None:
    DAMAGES[damage](one(kept, "parts.npz"))
    index = kept.start()
    assert any("Embedding sentences" in line for line in kept.lines)
    assert index.search("late payment fee", 3).passages
    index.close()
    if damage != "a folder in its place":
        kept.healthy()
    else:
        assert any("could not be kept" in line for line in kept.lines)


@fault(
    "The index cannot be had: there is no knowledge folder, or the embedder is damaged and cannot be fetched again.",
    "RAG and Combined: “The documents cannot be searched now. Fine-tuned still answers; whoever runs this can start it "
    "again.” Fine-tuned and Base answer.",
    "Says why in one line, and serves what works; with the cause gone everything works.",
)
@pytest.mark.parametrize("cause", ["no knowledge folder", "damaged embedder"])
def test_index_cannot_be_had(
    tiny_settings: Settings, articles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    embedder = tmp_path / "embedder"
    shutil.copytree(ROOT / ".switchboard" / "models" / "all-MiniLM-L6-v2" / "model", embedder)
    knowledge = tmp_path / "nowhere"
    if cause == "damaged embedder":
        knowledge = articles
        DAMAGES["cut in half"](embedder / "model.safetensors")
    make_adapter(tiny_settings, "customer-service", 1)
    settings = Settings(
        model=tiny_settings.model,
        quantization="none",
        adapters=tiny_settings.adapters,
        data=tiny_settings.data,
        knowledge=knowledge,
        embedder=str(embedder),
    )
    lines: list[str] = []
    page = Page(running := build(settings, lines.append), monkeypatch)
    (why,) = (line for line in lines if line.startswith("RAG and Combined cannot answer"))
    assert sentence(why)
    for mode in ("rag", "combined"):
        turn = page.ask("What is the late payment fee?", mode)
        assert turn["state"] == "failed"
        assert turn["error"].startswith("The documents cannot be searched now. Fine-tuned still answers")
        assert sentence(turn["error"])
    for mode in ("base", "fine-tuned"):
        assert page.ask("What is the late payment fee?", mode)["state"] == "done"
    assert running.index.documents == {}
