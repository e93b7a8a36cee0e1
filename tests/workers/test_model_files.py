"""Copies of models lie on a machine for no longer than a warm process may read them."""

from __future__ import annotations

from pathlib import Path

from cvq_workers.warm.model_files import ModelFiles


def test_copies_go_once_nothing_needs_them(tmp_path: Path) -> None:
    files = ModelFiles(tmp_path)

    def bring(batch_key: str, *jobs: int) -> None:
        files.hold(batch_key, batch_key)
        for job in jobs:
            files.note(batch_key, job)
            (tmp_path / str(job)).mkdir(exist_ok=True)
            (tmp_path / str(job) / "model").write_text("weights")

    def left() -> list[str]:
        return sorted(path.name for path in tmp_path.iterdir())

    bring("a", 1, 2)
    bring("b", 2, 3)
    files.release("a", resident=["a"])
    assert left() == ["1", "2", "3"]
    bring("a", 1, 2)
    files.release("b", resident=["b"])  # another holds `a`, whose model is loaded no more
    assert left() == ["1", "2", "3"]
    files.release("a", resident=["b"])
    assert left() == ["2", "3"]
    bring("c", 4)
    files.release("c", resident=())
    assert left() == []
