"""A program that runs below a job's process: started, heard, asked to stop, and waited for."""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from cvq.errors import PermanentError

from .reports import Lines

_TICK_S = 0.05
_PIECE = 1 << 16
_LAST_S = 2.0  # for which what is left in the pipes of a program that has ended is read


class Program:
    """A program and its output.

    What it writes goes on to where this process writes, its standard output line by line to
    `hear`, too. What comes through the pipe of reports goes to `hear_report`.

    Attributes:
        last_words: the last line of its standard error that is not empty.

    Args:
        words: the program and its words.
        folder: where it runs.
        environment: what it is given.
        pipe: the path of a named pipe that is made for its reports.
        hear, hear_report: take lines.

    Raises:
        PermanentError: it cannot be started.
    """

    def __init__(
        self,
        words: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        pipe: Path,
        hear: Callable[[bytes], None],
        hear_report: Callable[[bytes], None],
    ) -> None:
        os.mkfifo(pipe, 0o600)
        # To be written, too, as a pipe without a writer would be at its end.
        self._pipe = os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._process = _start(words, folder, environment)
        except BaseException:
            os.close(self._pipe)
            raise
        self.last_words = b""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        stdout, stderr = self._process.stdout.fileno(), self._process.stderr.fileno()
        self._names = {stdout: "stdout", stderr: "stderr"}
        self._lines = {
            stdout: (Lines(), hear),
            stderr: (Lines(), self._remember),
            self._pipe: (Lines(), hear_report),
        }
        self._poll = select.poll()
        for descriptor in self._lines:
            self._poll.register(descriptor, select.POLLIN)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()
        os.close(self._pipe)

    def run(self, look: Callable[[], None]) -> int:
        """Hear it to its end, and call `look` now and then.

        Returns:
            the code that it left with; below 0 the signal that has killed it.
        """
        while self._process.poll() is None:
            self._read(_TICK_S)
            look()
        deadline = time.monotonic() + _LAST_S  # a child of its may write for ever
        while self._read(0) and time.monotonic() < deadline:
            pass
        for lines, hear in self._lines.values():
            for line in lines.end():
                hear(line)
        return int(self._process.returncode)

    def terminate(self) -> bool:
        """Ask it to end; its children are its own business as long as it lives.

        Returns:
            whether it was still running.
        """
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        return self._process.returncode is None

    def terminate_children(self) -> None:
        """Ask what it has left to end, and wait for that.

        A shell leaves the program that it has waited for: that has not heard yet, and may want to
        save something. Who waits for this sees to it that it does not take too long.
        """
        for process in list(_left()):
            with contextlib.suppress(psutil.Error):
                process.terminate()
        while any(_left()):
            self._read(_TICK_S)

    def _remember(self, line: bytes) -> None:
        self.last_words = line.strip() or self.last_words

    def _read(self, seconds: float) -> bool:
        """Wait at most so long for output, and pass it on; whether there was any."""
        found = False
        for descriptor, _ in self._poll.poll(seconds * 1000):
            with contextlib.suppress(BlockingIOError):
                piece = os.read(descriptor, _PIECE)
                if not piece:
                    self._poll.unregister(descriptor)
                    continue
                found = True
                if name := self._names.get(descriptor):
                    _pass_on(piece, name)
                lines, hear = self._lines[descriptor]
                for line in lines.add(piece):
                    hear(line)
        return found


def _start(
    words: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    program = words[0]
    try:
        return subprocess.Popen(
            words, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
        )  # fmt: skip
    except FileNotFoundError:
        raise PermanentError(_not_there(program, folder)) from None
    except PermissionError:
        raise PermanentError(
            f"the program '{program}' may not be run: make it executable (chmod +x), or name what "
            f"runs it, as in `python {program}`"
        ) from None
    except OSError as error:  # no program, or too many words
        raise PermanentError(
            f"the program '{program}' cannot be run: {error.strerror}; where it is a script, name "
            f"what runs it, as in `bash {program}`"
        ) from None


def _not_there(program: str, folder: Path) -> str:
    if "/" in program:
        if (folder / program).exists():
            return f"the program '{program}' cannot be run: what its first line names is not here"
        return f"there is no program '{program}' in the job's folder, nor on this worker"
    hint = f": write ./{program}" if (folder / program).exists() else ""
    if " " in program:
        hint = ": give its words one by one"
    return f"there is no program '{program}' on the PATH of this worker{hint}"


def _pass_on(piece: bytes, name: str) -> None:
    """Write to a standard stream of this process, which may be a notebook's."""
    text = getattr(sys, name)
    stream = getattr(text, "buffer", None)
    if stream is None:
        text.write(piece.decode("utf-8", "replace"))
        return
    view = memoryview(piece)
    while view:
        view = view[stream.write(view) or 0 :]
    if not isinstance(stream, io.RawIOBase):
        stream.flush()


def _left() -> Iterator[psutil.Process]:
    """The other processes of this one's group: what the job has started, and what that has."""
    own, group = os.getpid(), os.getpgrp()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            ours = process.pid != own and os.getpgid(process.pid) == group
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def ignore_terminations() -> None:
    """Let SIGTERM, which goes to all of a job's group, be the program's to act upon."""
    with contextlib.suppress(ValueError):  # not in the main thread, as in a notebook
        signal.signal(signal.SIGTERM, lambda *_: None)
