"""What a bug report needs to say about a machine: versions, device, mirrors, disk, weights. No secrets."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
from pathlib import Path

from . import hub
from .senses import InputError

PACKAGES = ("synesthesia", "torch", "numpy", "scipy", "pillow", "soundfile", "soxr", "safetensors", "huggingface-hub",
            "tyro", "rich", "mitsuba", "pyoidn", "scikit-fem", "h5py", "av", "gradio", "transformers")  # fmt: skip
MIRRORS = ("PIP_INDEX_URL", "TORCH_INDEX", "HF_ENDPOINT", "HF_HOME", "HF_HUB_OFFLINE", "SYNESTHESIA_RAW_HOST")


def report() -> str:
    """The report as lines of text. A broken part is reported, never raised."""
    lines = [
        ("python", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("machine", machine()),
        ("system", platform.platform()),
        *((package, _version(package)) for package in PACKAGES),
        ("device", _device()),
        *((name, _without_secret(os.environ.get(name))) for name in MIRRORS),
        ("disk free", f"{_free(Path.cwd())} here, {_free(Path(tempfile.gettempdir()))} for temporary files"),
        *((f"weights {name}", _weights(name)) for name in hub.shipped_models()),
    ]
    if not hub.shipped_models():
        lines.append(("weights", "none shipped: this installation is incomplete"))
    return "\n".join(f"{what:18} {value}" for what, value in lines)


def machine() -> str:
    """The processor's name and the number of cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    name = platform.processor() or platform.machine()
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        name = found[1] if found else name
    except OSError:
        pass  # not Linux
    return f"{name}, {cores} core{'s' * (cores != 1)}"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _device() -> str:
    try:
        import torch

        return f"{hub.device()} ({torch.get_num_threads()} threads)"
    except (ImportError, OSError) as error:  # OSError: a shared library that does not load
        return f"torch does not load: {error}"


def _without_secret(url: str | None) -> str:
    return re.sub(r"//[^/@]*@", "//***@", url) if url else "not set"


def _free(folder: Path) -> str:
    return f"{shutil.disk_usage(folder).free / 2**30:.1f} GB"


def _weights(name: str) -> str:
    try:
        config, _ = hub.load_model(name)
        return f"sound, {config['bytes'] / 2**20:.1f} MB, sha256 {config['sha256'][:12]}"
    except InputError as error:
        return str(error)
