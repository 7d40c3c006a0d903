"""The base model: found, quantized once, kept in a cache, loaded from there.

`packaged` is SmolLM2-135M-Instruct out of a PyPI wheel; a Hub id or a local folder works as well. Only safetensors
(and the packaged GGUF, whose digest is known) are ever read, and no code that comes with a model is run.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from transformers.utils import logging

from switchboard import assets
from switchboard.errors import ModelError, first_line
from switchboard.files import intact, making, replace_folder, write_manifest
from switchboard.generation.fast.stored import Stored
from switchboard.progress import Report
from switchboard.settings import Quantization, Settings
from switchboard.tokenizer import read_tokenizer

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig

PACKAGED_IDENTITY = "HuggingFaceTB/SmolLM2-135M-Instruct"
CACHE_FORMAT = "1"
"""Raised whenever what is in the cache changes its meaning."""

_ALL_IN_ONE = {"TokenizersBackend", "PreTrainedTokenizerFast"}
_WANTED = ["*.safetensors", "*.json", "*.txt", "*.jinja", "*.model"]
_STAMPED = {".safetensors", ".json", ".jinja", ".model"}
_WORDS = {"nf4": "bitsandbytes NF4", "int8": "bitsandbytes int8", "none": "not quantized"}


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory, in evaluation mode.

    `identity` names the base for adapters; `fingerprint` is a short hash of its weights' source and quantization,
    for reports. `device`, `dtype` and `reasons` say what was chosen and why.
    """

    model: Any
    tokenizer: Any
    identity: str
    fingerprint: str
    quantization: Quantization
    device: str
    dtype: str
    reasons: str

    @property
    def quantization_words(self) -> str:
        """The quantization in words."""
        if self.quantization == "nf4":
            return f"{_WORDS['nf4']}, " + (
                "expanded to float32" if self.dtype == "float32" else f"{self.dtype} compute"
            )
        return _WORDS[self.quantization]

    def describe(self) -> str:
        """One line: what runs, where, and why."""
        return f"{self.identity}, {self.quantization_words}, {self.dtype} on {self.device} ({self.reasons})"


@dataclass(frozen=True)
class _Source:
    """Where the full-precision weights are: a folder, or a GGUF file in a folder."""

    identity: str
    version: str
    folder: Path | None
    gguf: str = ""


def load_model(settings: Settings, report: Report, bare: bool = False) -> LoadedModel:
    """Load the model that `settings` name, making its quantized copy if there is no intact one.

    With `bare` it is as the fast decoder reads it (`Stored`), where that knows it and computes on this device.

    Raises ModelError that says what to do when the model cannot be had, or needs what this machine lacks, and
    StorageError where its quantized copy cannot be written.
    """
    _quieten()
    device, dtype, reasons = _choose_device()
    source = _resolve(settings, report)
    try:
        folder = _quantized(source, settings, report)
        tokenizer = _tokenizer(folder)
        model = _bare(folder, dtype) if bare and device == "cpu" else None
        if model is None:
            model = _load(folder, dtype, device, _config_for(settings.quantization, dtype, folder))
            if settings.quantization == "nf4" and dtype == torch.float32:
                model = model.dequantize().float()
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"The model '{settings.model}' cannot be loaded with quantization '{settings.quantization}': "
            f"{first_line(error)}. Name another one in SWITCHBOARD_MODEL, or set SWITCHBOARD_QUANTIZATION=none."
        ) from error
    if not getattr(tokenizer, "chat_template", None):
        raise ModelError(f"The model '{settings.model}' has no chat template; name a chat model in SWITCHBOARD_MODEL.")
    return LoadedModel(
        model=model.eval(),
        tokenizer=tokenizer,
        identity=source.identity,
        fingerprint=_digest(source, settings.quantization)[:12],
        quantization=settings.quantization,
        device=device,
        dtype=str(dtype).removeprefix("torch."),
        reasons=reasons,
    )


def same_base(one: str, other: str) -> bool:
    """Whether two names mean one base: a Hub id, or a local copy of it in a folder of that name."""
    return Path(one).name.lower() == Path(other).name.lower()


def _choose_device() -> tuple[str, torch.dtype, str]:
    """The device, the dtype of computing, and why."""
    if torch.cuda.is_available():
        if torch.cuda.is_bf16_supported():
            return "cuda", torch.bfloat16, f"found {torch.cuda.get_device_name()}"
        return "cuda", torch.float16, f"found {torch.cuda.get_device_name()}, which has no bfloat16"
    threads = f"no CUDA device found, {torch.get_num_threads()} threads"
    if torch.cpu._is_avx512_bf16_supported():
        return "cpu", torch.bfloat16, threads
    # Without bfloat16 instructions such arithmetic, and the 4-bit kernels, which need them, are far slower: measured on
    # an AVX2 machine, 520 tokens read in 7.0 s and 5 tokens a second against 1.1 s and 18, with the same weights.
    return "cpu", torch.float32, f"{threads}, a processor without bfloat16 arithmetic"


def _resolve(settings: Settings, report: Report) -> _Source:
    if settings.model == "packaged":
        ((name, digest),) = assets.MODEL.files.items()
        return _Source(PACKAGED_IDENTITY, digest, None, Path(name).name)
    folder = Path(settings.model).expanduser()
    if folder.is_dir():
        stamps = [
            f"{p.name}:{p.stat().st_size}:{p.stat().st_mtime_ns}"
            for p in sorted(folder.iterdir())
            if p.suffix in _STAMPED
        ]
        if not list(folder.glob("*.safetensors")):
            raise ModelError(f"{folder} holds no .safetensors file, and nothing else is ever loaded.")
        return _Source(folder.resolve().name, "|".join(stamps), folder.resolve())
    return _from_hub(settings.model, report)


def _from_hub(name: str, report: Report) -> _Source:
    from huggingface_hub import snapshot_download  # noqa: PLC0415  (not needed, and slow, for the packaged model)

    report(f"Fetching {name} from the Hugging Face Hub ...")
    try:
        folder = Path(snapshot_download(name, allow_patterns=_WANTED))
    except Exception as error:  # the hub client raises many unrelated types
        raise ModelError(
            f"'{name}' is neither a folder here nor can it be fetched from the Hub ({first_line(error)}). Check "
            "SWITCHBOARD_MODEL and the network; leave it unset for the packaged model."
        ) from error
    if not list(folder.glob("*.safetensors")):
        raise ModelError(f"'{name}' has no .safetensors file, and nothing else is ever loaded.")
    return _Source(name, folder.name, folder)


def _quantized(source: _Source, settings: Settings, report: Report) -> Path:
    """The folder to load from: the quantized copy in the cache, made anew unless it is intact."""
    if source.folder is not None and settings.quantization == "none":
        return source.folder
    facts = {"made_from": _digest(source, settings.quantization), "format": CACHE_FORMAT}
    slug = source.identity.replace("/", "--")
    target = settings.data / "models" / f"{slug}-{settings.quantization}"
    if intact(target, **facts):
        return target
    if target.exists():
        report(f"The cached copy of {source.identity} is out of date or damaged: making it again ...")
    with making(target, report) as scratch:
        if intact(target, **facts):
            return target  # another process has made it meanwhile
        dtype = torch.bfloat16  # of what stays unquantized; the same on every machine
        full = source.folder or _convert_gguf(source, settings, scratch, dtype, report)
        made = scratch / "made"
        if settings.quantization == "none":
            shutil.move(full, made)
        else:
            report(f"Quantizing {source.identity} to {_WORDS[settings.quantization]}, once ...")
            device = "cuda" if torch.cuda.is_available() else "cpu"
            model = _load(full, dtype, device, _config_for(settings.quantization, dtype, full))
            model.save_pretrained(made)
            _tokenizer(full).save_pretrained(made)
        write_manifest(made, **facts)
        replace_folder(made, target)
    return target


def _convert_gguf(source: _Source, settings: Settings, scratch: Path, dtype: torch.dtype, report: Report) -> Path:
    """Unpack the packaged GGUF and write it as safetensors; returns the folder."""
    folder = assets.unpack(assets.MODEL, settings.data / "models" / "packaged", report)
    from switchboard.generation.stock import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # noqa: PLC0415

    report("Reading the packaged weights (about half a minute, once) ...")
    full = scratch / "full"
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=source.gguf, quantization_config=GgufConfig(dequantize=True), dtype=dtype
    )
    model.save_pretrained(full)
    AutoTokenizer.from_pretrained(folder, gguf_file=source.gguf).save_pretrained(full)
    return full


def _bare(folder: Path, dtype: torch.dtype) -> Stored | None:
    """The model as the fast decoder reads it; None where it is none that it knows."""
    try:
        return Stored(folder, dtype)
    except (ValueError, KeyError):
        return None


def _tokenizer(folder: Path) -> Any:
    """The tokenizer in a folder; most are all in one file, and need nothing of what AutoTokenizer imports."""
    config = folder / "tokenizer_config.json"
    written = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    if written.get("tokenizer_class") in _ALL_IN_ONE and (folder / "tokenizer.json").is_file():
        return read_tokenizer(folder)
    from switchboard.generation.stock import AutoTokenizer  # noqa: PLC0415

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def _load(folder: Path, dtype: torch.dtype, device: str, config: BitsAndBytesConfig | None) -> Any:
    from switchboard.generation.stock import AutoModelForCausalLM  # noqa: PLC0415  (seconds)

    extra = {"quantization_config": config} if config else {}
    return AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        use_safetensors=True,
        trust_remote_code=False,
        device_map={"": 0} if device == "cuda" else None,
        **extra,
    )


def _config_for(
    quantization: Quantization, dtype: torch.dtype, folder: Path | None = None
) -> BitsAndBytesConfig | None:
    """How to quantize; None where nothing is to be done, or where `folder` is quantized already."""
    if quantization == "none" or (folder and '"quantization_config"' in (folder / "config.json").read_text("utf-8")):
        return None
    from switchboard.generation.stock import BitsAndBytesConfig  # noqa: PLC0415  (seconds)

    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def _digest(source: _Source, quantization: Quantization) -> str:
    return hashlib.sha256(f"{source.identity}|{source.version}|{quantization}".encode()).hexdigest()


def _quieten() -> None:
    """Our own lines say what happens; the libraries' bars and hints would drown them."""
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
