"""What job processes are given of the worker's environment."""

from __future__ import annotations

import contextlib
import os
import resource
from contextlib import nullcontext as no_error

import pytest

from cvq_workers.launch.environment import job_environment
from cvq_workers.launch.launcher import Launcher
from cvq_workers.process.job_process import JobProcess

SECRETS = {
    "CVQ_DATABASE_URL": "postgresql://cvq:secret@db/cvq",
    "CVQ_BROKER_URL": "redis://:secret@db",
    "CVQ_STORE_URL": "s3://key:secret@bucket",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "secret",
    "PGPASSWORD": "secret",
    "REDIS_URL": "redis://:secret@db",
    "HF_TOKEN": "secret",
    "WANDB_API_KEY": "secret",
    "MY_COMPANYS_KEY": "secret",
    "PYTHON_KEYRING_PASSWORD": "secret",
    "CONDA_TOKEN": "secret",
}
USUAL = {
    "PATH": "/bin",
    "HOME": "/home/ann",
    "LC_ALL": "C.UTF-8",
    "PYTHONPATH": "/models",
    "VIRTUAL_ENV": "/venv",
    "LD_LIBRARY_PATH": "/cuda/lib",
    "CUDA_VISIBLE_DEVICES": "1",
    "CUDA_HOME": "/cuda",
    "OMP_NUM_THREADS": "4",
    "TORCH_HOME": "/cache/torch",
    "HF_HOME": "/cache/hf",
    "XDG_CACHE_HOME": "/cache",
    "https_proxy": "http://proxy:3128",
    "TMPDIR": "/scratch",
    "CVQ_KINDS": "mine",
}


def test_a_job_gets_what_it_needs_and_no_secret() -> None:
    environment = job_environment(SECRETS | USUAL)
    assert environment.items() >= USUAL.items()
    assert "secret" not in str(environment)


@pytest.mark.parametrize("asked", ["WANDB_API_KEY", "WANDB_*"])
def test_what_the_user_names_is_passed(asked: str) -> None:
    environment = job_environment(SECRETS, [asked])
    assert environment["WANDB_API_KEY"] == "secret"
    assert "HF_TOKEN" not in environment


def test_whoever_sets_a_variable_for_the_worker_wins() -> None:
    assert job_environment({"GOMP_SPINCOUNT": "7"})["GOMP_SPINCOUNT"] == "7"


@pytest.mark.parametrize("spare", range(12))
def test_a_process_for_which_no_descriptors_are_left_keeps_none(spare: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    held: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        for descriptor in held[:spare]:
            os.close(descriptor)
        del held[:spare]
        with pytest.raises(OSError, match="Too many open files") if spare < 11 else no_error():
            process = JobProcess(Launcher("spawn"), output=lambda _: lambda line: None)
            process.close()
            process._channels._jobs.close()
        # As many as before can be opened.
        held += [os.open(os.devnull, os.O_RDONLY) for _ in range(spare)]
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
