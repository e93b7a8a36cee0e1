"""What a job gets of its worker's environment: where things are, how to compute, no secret."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

# glibc gives every large tensor back to the kernel at once, and the next step faults it in
# again: 48,000 page faults a step in training. Keeping the memory costs nothing that matters.
#
# A thread of OpenMP that is done spins until the others are. Where another process wants the same
# core, everybody spins while the last one waits for its turn. After a short spin it had better
# sleep (benchmarks/contention.py).
COMPUTING = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
    "GOMP_SPINCOUNT": "1000",
}
# What a job gets of the worker's environment: where things are and how to compute. No URL of
# cvq's, no key to a store, no token: who needs one names it in CVQ_PASS_ENV.
PASSED = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TZ", "TERM", "LANG", "LANGUAGE", "LC_*"),
    *("TMPDIR", "TMP", "TEMP", "XDG_*"),
    *("PYTHON*", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_*"),
    *("CUDA_*", "CUDNN_*", "CUBLAS_*", "NVIDIA_*", "NCCL_*", "HIP_*", "ROCR_*", "HSA_*"),
    *("OMP_*", "GOMP_*", "KMP_*", "MKL_*", "OPENBLAS_*", "BLIS_*", "VECLIB_*", "NUMEXPR_*"),
    *("NUMBA_*", "MIOPEN_*", "QT_QPA_PLATFORM"),
    *("MALLOC_*", "GLIBC_TUNABLES", "TORCH*", "PYTORCH_*", "TRITON_*", "XLA_*", "TF_*", "JAX_*"),
    *("MPLBACKEND", "MPLCONFIGDIR", "OPENCV_*", "NO_ALBUMENTATIONS_UPDATE"),
    *("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_DATASETS_*", "TRANSFORMERS_*"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "FTP_PROXY"),
    *("http_proxy", "https_proxy", "no_proxy", "all_proxy", "ftp_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("CVQ_HOME", "CVQ_KINDS", "CVQ_MAX_PIXELS"),
)
_SECRET = re.compile("TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|ACCESS_?KEY")


def job_environment(
    environ: Mapping[str, str] | None = None, pass_env: Iterable[str] = ()
) -> dict[str, str]:
    """The environment of job processes: of this one what is allowed, and how to compute.

    Args:
        environ: this process's by default.
        pass_env: names, or patterns such as `WANDB_*`, that are allowed besides.
    """
    asked = tuple(pass_env)
    kept = {
        name: value
        for name, value in (os.environ if environ is None else environ).items()
        if _is_one_of(name, asked) or (_is_one_of(name, PASSED) and not _SECRET.search(name))
    }
    # albumentations otherwise asks the network for its newest version at import.
    return COMPUTING | {"NO_ALBUMENTATIONS_UPDATE": "1"} | kept


def _is_one_of(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
