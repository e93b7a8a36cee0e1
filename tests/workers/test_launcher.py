"""What job processes are given of the worker's environment."""

from __future__ import annotations

import pytest

from cvq_workers.launcher import job_environment

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
