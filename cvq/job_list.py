"""Jobs in the hands of a Python program: a list with the powers of a handle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Self, SupportsIndex, overload

from .handle import JobHandle
from .records import Job

if TYPE_CHECKING:
    import pandas

    from .client import Client


class JobList(list[JobHandle]):
    """What `Client.jobs` and `Client.wait_all` give; a part of it, `jobs[:5]`, is one, too.

    Args:
        client: whose jobs they are.
        jobs: in order.
        more: gives those that follow, of a page that others follow.
    """

    def __init__(
        self,
        client: Client,
        jobs: Iterable[JobHandle] = (),
        more: Callable[[], JobList] | None = None,
    ) -> None:
        super().__init__(jobs)
        self.client = client
        self._more = more

    @property
    def has_more(self) -> bool:
        """Whether this was a page of `Client.jobs` that others follow, when it was read."""
        return self._more is not None

    def next(self) -> JobList:
        """The page that follows, of as many jobs; an empty list behind the last one.

        It goes on behind the place of this one's last job, as it was when this page was read: no
        job comes twice for what was added, changed or removed meanwhile, but for one whose own
        place in the order is another now; what was added before that place is not met.
        """
        return JobList(self.client) if self._more is None else self._more()

    def pages(self) -> Iterator[JobList]:
        """This page and all that follow, one after another, each read when it is asked for."""
        page = self
        while page:
            yield page
            page = page.next()

    @overload
    def __getitem__(self, place: SupportsIndex) -> JobHandle: ...

    @overload
    def __getitem__(self, place: slice) -> JobList: ...

    def __getitem__(self, place: SupportsIndex | slice) -> JobHandle | JobList:
        if isinstance(place, slice):
            return JobList(self.client, super().__getitem__(place))
        return super().__getitem__(place)

    def refresh(self) -> Self:
        """Look at all of them again, in few statements; return this very list.

        Raises:
            UnknownJobError: one is gone.
        """
        self.client.look_at(self)
        return self

    def wait(
        self,
        timeout: float | None = None,
        *,
        check: bool = True,
        on_look: Callable[[list[Job]], None] | None = None,
    ) -> Self:
        """Wait for the end of all of them, as `Client.wait_all` does; return this very list."""
        self.client.wait_all(self, timeout, check=check, on_look=on_look)
        return self

    async def wait_async(
        self,
        timeout: float | None = None,
        *,
        check: bool = True,
        on_look: Callable[[list[Job]], None] | None = None,
    ) -> Self:
        """The same beside an event loop, as `Client.wait_all_async` does."""
        await self.client.wait_all_async(self, timeout, check=check, on_look=on_look)
        return self

    def cancel(self) -> Self:
        """Cancel what is unfinished of them; return this very list, as it is then."""
        self.client.cancel_all(self)
        return self.refresh()

    def tag(self, tags: str | Sequence[str] | Mapping[str, str | None]) -> Self:
        """Give all of them tags, as `Client.tag` does."""
        self.client.tag(self, tags)
        return self.refresh()

    def untag(self, *keys: str) -> Self:
        """Take tags away from all of them."""
        self.client.untag(self, *keys)
        return self.refresh()

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each job, by its id, with `params.…`, `tags.…`, `metrics.…` and `result.…`.

        See `cvq.frame.frame`.

        Raises:
            SetupError: pandas is not installed.
        """
        from .frame import frame

        return frame(handle.job for handle in self)

    def _repr_html_(self) -> str | None:
        """A table of the first 50; None, and so the usual text, where that cannot be."""
        from .notebook.jobs import jobs_html

        try:
            return jobs_html(self)
        except Exception:  # a notebook's cell shows what it can
            return None
