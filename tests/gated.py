"""A store that can be made to wait: a folder whose files pass through a gate.

While the file `hold-get` or `hold-put` lies in the folder, nothing is fetched or stored.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from fsspec import register_implementation
from fsspec.implementations.local import LocalFileSystem


class GatedFileSystem(LocalFileSystem):
    """Files at `gated:///folder/store`; the gate is in `/folder`."""

    protocol = ("gated",)

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return str(path).removeprefix("gated://").rstrip("/")

    def unstrip_protocol(self, name: str) -> str:
        return f"gated://{self._strip_protocol(name)}"

    def get_file(self, rpath: str, lpath: str, **options: Any) -> None:
        self._pass("hold-get", rpath)
        super().get_file(self._strip_protocol(rpath), lpath, **options)

    def put_file(self, lpath: str, rpath: str, **options: Any) -> None:
        self._pass("hold-put", rpath)
        target = Path(self._strip_protocol(rpath))
        target.parent.mkdir(parents=True, exist_ok=True)
        super().put_file(lpath, str(target), **options)

    def pipe_file(self, path: str, value: bytes, **_: Any) -> None:
        target = Path(self._strip_protocol(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(value)

    def _pass(self, gate: str, path: str) -> None:
        folder = next(p for p in Path(self._strip_protocol(path)).parents if p.name == "store")
        while (folder.parent / gate).exists():
            time.sleep(0.02)


register_implementation("gated", GatedFileSystem, clobber=True)
