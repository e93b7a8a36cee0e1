"""How git is asked: about folders that may be anybody's, so that nothing of theirs is run."""

from __future__ import annotations

import os

# Nothing is run that a folder's own settings name.
GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false")
# No lock is taken, nothing is fetched, nothing is asked.
_QUIETLY = {
    "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none", "LC_ALL": "C",
}  # fmt: skip
# Set in a hook of git's: they mean the repository of the hook, wherever git is asked.
_OF_HOOKS = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"})


def git_environment(*, anywhere: bool = False) -> dict[str, str]:
    """The environment in which git is asked.

    Args:
        anywhere: about the folder that is named, and not about the repository that a hook of
            git's is for.
    """
    left_out = _OF_HOOKS if anywhere else frozenset()
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, **_QUIETLY}
