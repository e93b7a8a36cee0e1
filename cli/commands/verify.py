"""`cvq verify JOB|FILE`: stored files, or a proof, checked; with --run, made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import UnknownKindError, UsageError

from .. import options, resolving
from ..bars import counting_bar
from ..display import Form, display, form
from ..formats import clean, count
from ..options import FilePath
from ..output import note, on_terminal, say
from ..verifying import DIFFERENT, tell, tell_all
from .submit import follow_job, queued_line

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.parse import Reference
    from cvq.proofs.comparison import Comparison


@click.command(
    epilog="\b\nExamples:\n  cvq rerun 12 --verify --proof 12.json\n  cvq verify 12"
    "\n  cvq verify 12.json\n  cvq verify 12.json --run --input content.jpg --input style.jpg"
    "\n\nExit codes: 0 all is the same, 1 something is not, 2 the proof was edited, 124 time ran "
    "out."
)
@click.argument("what", metavar="JOB|FILE")
@options.flag("--run", "runs", help="Run the job of a proof here, and compare every file.")
@click.option(
    "--input",
    "inputs",
    type=FilePath(),
    multiple=True,
    metavar="PATH",
    help="A file or a data folder that the proof's job reads, to be stored here; may be repeated.",
)
@click.option("--queue", metavar="NAME", help="With --run: a queue other than the default.")
@options.timeout
@options.as_json
@options.form("-q", "--quiet", form=Form.QUIET, help="Print nothing: the exit code tells.")
def verify(
    what: str, runs: bool, inputs: Sequence[str], queue: str | None, timeout: float | None
) -> int:
    """Check that a job's stored files are as they were, or that a proof is true here.

    Of a JOB every file and input is read and compared with its SHA-256. A FILE is a proof, as `cvq
    rerun JOB --verify --proof FILE` writes it: is it intact, is the code here the same, are the
    inputs at hand? With --run the job is made again. JOB is an id, @ (your last) or @~1 (the one
    before).
    """
    from cvq.client import Client
    from cvq.proofs import document

    client = Client()
    if (reference := _job(what)) is not None:
        if runs or inputs:
            raise UsageError("--run and --input are for proofs: `cvq rerun JOB --verify` runs a "
                             "job again")  # fmt: skip
        return _check_job(client, resolving.resolve_one(client, reference))
    proof = document.read(Path(what))
    _take_in(client, proof, inputs)
    if not runs:
        return _check_proof(client, what, proof)
    return _run(client, what, proof, queue, timeout)


def _job(what: str) -> Reference | None:
    """The job that a word means; None where it is the name of a file."""
    from cvq import parse

    try:
        return parse.reference(what)
    except (UsageError, ValueError):
        return None


def _check_job(client: Client, job_id: int) -> int:
    wrong, total = _read_all(client, job_id)
    display(
        wrong,
        json=lambda wrong: {"job": job_id, "files": total, "wrong": wrong},
        quiet=lambda _: None,
        text=lambda wrong: _tell_job(job_id, total, wrong),
    )
    return DIFFERENT if wrong else 0


def _read_all(client: Client, job_id: int) -> tuple[list[str], int]:
    """What is wrong with a job's files, and how many there are; with a bar on a terminal."""
    read = 0
    bar = counting_bar(beside=30) if on_terminal(err=True) else None

    def look(done: int, total: int) -> None:
        nonlocal read
        read = total
        if bar is not None:
            if not bar.tasks:
                bar.start()
                bar.add_task("reading", total=total)
            bar.update(bar.task_ids[0], completed=done)

    try:
        return client.check_files(job_id, look), read
    finally:
        if bar is not None:
            bar.stop()


def _tell_job(job_id: int, total: int, wrong: Sequence[str]) -> None:
    if not wrong:
        say(f"job {job_id}: {count(total, 'file')} and inputs are as they were stored"
            if total else f"job {job_id} has neither files nor inputs")  # fmt: skip
        return
    say(f"job {job_id}: {len(wrong)} of {count(total, 'file')} and inputs are not as they were:")
    tell_all(wrong)


def _take_in(client: Client, proof: Mapping[str, Any], inputs: Sequence[str]) -> None:
    """Store the inputs that were given, each of which the proof has to name."""
    from tempfile import TemporaryDirectory

    from cvq import datasets
    from cvq.files import sha256_of
    from cvq.proofs.files import inputs_in

    wanted = {sha256 for _, sha256 in inputs_in(proof["job"]["spec"])}
    for given in inputs:
        path = Path(given)
        with TemporaryDirectory(prefix="cvq-verify-") as scratch:
            if path.is_dir():
                path = datasets.pack(path, Path(scratch) / "data.zip", None)
            if not path.is_file():
                raise UsageError(f"--input {given} is not a file that can be read")
            if sha256_of(path) not in wanted:
                raise UsageError(f"--input {given}: the proof's job reads no file of this content")
            client.artifacts.put_input(path)


def _check_proof(client: Client, name: str, proof: Mapping[str, Any]) -> int:
    from cvq.proofs.files import inputs_in, missing

    job = proof["job"]
    code = _code_here(client, str(job.get("kind")))
    same = code is not None and code == proof.get("code")
    inputs = inputs_in(job["spec"])
    gone = missing(client.artifacts, inputs)
    display(
        proof,
        json=lambda _: {
            "intact": True, "kind": job.get("kind"), "code": proof.get("code"), "code_here": code,
            "inputs": len(inputs), "missing": [sha256 for _, sha256 in gone],
        },
        quiet=lambda _: None,
        text=lambda _: _tell_proof(name, proof, code, len(inputs), gone),
    )  # fmt: skip
    return 0 if same and not gone else DIFFERENT


def _tell_proof(
    name: str, proof: Mapping[str, Any], code: str | None, inputs: int,
    gone: Sequence[tuple[str, str]],
) -> None:  # fmt: skip
    job = proof["job"]
    kind = clean(str(job.get("kind")))
    files = count(len(proof["artifacts"]), "file")
    say(f"{clean(name)} is intact: job {job.get('id')} ({kind}), {files}")
    if code is None:
        say(f"code: of {kind} it is not known here: its module is to be named in CVQ_KINDS")
    elif code == proof.get("code"):
        say(f"code: the same here ({code[:12]})")
    else:
        say(f"code: another here ({code[:12]}, not {clean(str(proof.get('code'))[:12])})")
    say(f"inputs: {inputs - len(gone)} of {inputs} at hand" +
        (": --input PATH brings others" if gone else ""))  # fmt: skip
    tell_all([f"missing: {name} ({sha256})" for name, sha256 in gone])


def _code_here(client: Client, kind: str) -> str | None:
    from cvq.kinds import get_kind
    from cvq.kinds.code import code_of

    try:
        return code_of(get_kind(kind, client.settings))
    except UnknownKindError:
        return None


def _run(
    client: Client, name: str, proof: Mapping[str, Any], queue: str | None, timeout: float | None
) -> int:
    from cvq.handle import raise_for_state

    handle = client.rerun_proof(proof, queue=queue)
    if form() is Form.TEXT:
        note(queued_line(handle.job))
    follow_job(client, handle, timeout, quiet=form() is not Form.TEXT)
    raise_for_state(handle.job)
    found: Comparison = client.compare_with_proof(proof, handle)
    display(
        found,
        json=lambda found: {"job": handle.id, **found.to_json()},
        quiet=lambda _: None,
        text=lambda found: tell(found, clean(name), f"job {handle.id}"),
    )
    return 0 if found.is_equal else DIFFERENT
