"""NVIDIA's GPUs and driver, and whether PyTorch was built for them."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..text import count, join, one_line
from .finding import Finding, note, ok, problem
from .setup import Setup

_DRIVER = re.compile(r"Driver Version:\s*([\d.]+)")
_CUDA = re.compile(r"CUDA[\w ]*Version:\s*([\d.]+)")
_GPU = re.compile(r"^GPU \d+: (.+?) \(UUID", re.MULTILINE)
_NVIDIA, _DISPLAY = "0x10de", "0x03"  # as PCI has vendors and classes
_TIMEOUT_S = 20


@dataclass(frozen=True)
class Torch:
    """How PyTorch was built.

    Attributes:
        version: as `2.14.1+cu130`.
        cuda: the CUDA that it was built with, as `13.0`; None of one for the CPU.
        hip: the ROCm, of a build for AMD's GPUs.
    """

    version: str
    cuda: str | None
    hip: str | None = None


@dataclass(frozen=True)
class Driver:
    """What nvidia-smi tells.

    Attributes:
        gpus: the models, one for each GPU.
        driver: the driver's version, as `580.65.06`; None where it does not say.
        cuda: the newest CUDA that the driver runs, as `13.0`.
        error: what it said instead of all that.
    """

    gpus: tuple[str, ...] = ()
    driver: str | None = None
    cuda: str | None = None
    error: str | None = None


def gpu(setup: Setup) -> Iterator[Finding]:
    """Whether there are GPUs, and whether PyTorch can use them."""
    yield judge(look_at_driver(), look_at_torch(), has_gpu(), setup.environ)


def judge(
    driver: Driver | None, torch: Torch | None, there: bool, environ: Mapping[str, str]
) -> Finding:
    """What there is to say of GPUs, driver and PyTorch.

    Args:
        driver: None where there is no nvidia-smi.
        torch: None where PyTorch is not installed.
        there: whether the machine has an NVIDIA GPU, whatever nvidia-smi says.
        environ: the variables of the environment.
    """
    if driver is None or not driver.gpus:
        return _without_gpus(driver, there)
    shown = f"{count(len(driver.gpus), 'NVIDIA GPU')}: {join(_counted(driver.gpus))}"
    shown += f", driver {driver.driver}" if driver.driver else ""
    if environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return ok("gpu", f"{shown}; CUDA_VISIBLE_DEVICES hides all of them: jobs use the CPU")
    if torch is None or torch.hip:
        return ok("gpu", shown)
    if torch.cuda is None:
        return note(
            "gpu", "torch-without-cuda",
            f"{shown}, which PyTorch {torch.version} cannot use: it is a build for the CPU",
            "`pip uninstall -y torch torchvision`, then `pip install torch torchvision` without "
            "an index of CPU builds",
        )  # fmt: skip
    if driver.cuda and _major(torch.cuda) > _major(driver.cuda):
        return problem(
            "gpu", "driver-too-old",
            f"{shown}, runs CUDA {driver.cuda} at most, and PyTorch {torch.version} was built "
            f"for {torch.cuda}",
            f"update the driver to one that runs CUDA {_major(torch.cuda)}, or install a PyTorch "
            f"that was built for CUDA {_major(driver.cuda)}",
        )  # fmt: skip
    return ok("gpu", f"{shown}; PyTorch {torch.version} was built for CUDA {torch.cuda}")


def _without_gpus(driver: Driver | None, there: bool) -> Finding:
    mismatch = driver is not None and driver.error is not None and "mismatch" in driver.error
    if not (there or mismatch):
        return ok("gpu", "no NVIDIA GPU: jobs use the CPU")
    said = "nvidia-smi is not installed"
    if driver is not None:
        said = driver.error or "nvidia-smi lists none"
    return note(
        "gpu", "driver-fails", f"there is an NVIDIA GPU, and no driver answers: {said}",
        "restart the machine if its driver was updated, else install the driver: "
        "`nvidia-smi` has to list the GPU",
    )  # fmt: skip


def _counted(models: tuple[str, ...]) -> list[str]:
    return [
        model if models.count(model) == 1 else f"{models.count(model)} × {model}"
        for model in dict.fromkeys(models)
    ]


def _major(version: str) -> int:
    return int(version.partition(".")[0])


def look_at_driver() -> Driver | None:
    """What nvidia-smi tells, or None where there is none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    try:
        head, listed = (
            subprocess.run([tool, *words], capture_output=True, text=True, timeout=_TIMEOUT_S)
            for words in ([], ["-L"])
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Driver(error=one_line(str(error)))
    if listed.returncode != 0:
        return Driver(error=one_line(listed.stdout + listed.stderr))
    driver, cuda = _DRIVER.search(head.stdout), _CUDA.search(head.stdout)
    return Driver(
        gpus=tuple(_GPU.findall(listed.stdout)),
        driver=driver[1] if driver else None,
        cuda=cuda[1] if cuda else None,
    )


def look_at_torch() -> Torch | None:
    """How PyTorch was built, without loading it, which takes seconds."""
    spec = find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return None
    try:
        text = (Path(spec.submodule_search_locations[0]) / "version.py").read_text("utf-8")
        said = _constants(text)
    except (OSError, SyntaxError):
        return None
    return Torch(said.get("__version__") or "", said.get("cuda"), said.get("hip"))


def _constants(text: str) -> dict[str, str]:
    """The texts that a module gives names to."""
    found: dict[str, str] = {}
    for each in ast.parse(text).body:
        if isinstance(each, ast.AnnAssign):
            targets: list[ast.expr] = [each.target]
        elif isinstance(each, ast.Assign):
            targets = each.targets
        else:
            continue
        if isinstance(each.value, ast.Constant) and isinstance(each.value.value, str):
            found |= {to.id: each.value.value for to in targets if isinstance(to, ast.Name)}
    return found


def has_gpu(devices: Path = Path("/sys/bus/pci/devices")) -> bool:
    """Whether somebody has meant this machine's NVIDIA GPU to be used: it has one, and a driver.

    In a container the bus is seen and the GPU is not one's own, and a desktop may do without
    NVIDIA's driver: neither has nvidia-smi, nor the driver's devices.
    """
    if shutil.which("nvidia-smi") is None and not Path("/dev/nvidiactl").exists():
        return False
    return any(_is_gpu(device) for device in devices.glob("*"))


def _is_gpu(device: Path) -> bool:
    try:
        vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
    except OSError:
        return False
    return vendor == _NVIDIA and kind.startswith(_DISPLAY)
