"""The history with the files that jobs have left: what needs neither kinds nor Redis."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from cvq.history import History

if TYPE_CHECKING:
    from cvq.artifacts import ArtifactStore


class Archive(History):
    """The job database, to be asked, and the artifact store."""

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """The artifact store."""
        from cvq.artifacts import open_store

        return open_store(self.settings)

    def place(self, uri: str) -> str:
        """Where a file of the store is: its path on this machine, else its URI."""
        inside = self.settings.store.rstrip("/") + "/"
        if uri.startswith(inside) and inside.startswith("file://") and ".." not in uri.split("/"):
            return uri.removeprefix("file://")  # as fsspec has it, which takes longer to load
        return str(self.artifacts.local_path(uri) or uri)

    def place_of_input(self, digest: str) -> str:
        """The same of an input with this SHA-256."""
        if self.settings.store.startswith("file://"):
            return self.place(f"{self.settings.store.rstrip('/')}/inputs/{digest[:2]}/{digest}")
        return self.artifacts.input_uri(digest)
