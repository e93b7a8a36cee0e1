"""The pip command that brings more of cvq, from wherever this cvq came.

pip notes a package's origin beside it (`direct_url.json`, PEP 610): a checkout, a repository, a
wheel, or nothing for one from an index. So the advice of an error can be typed as it stands.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


def install_hint(extra: str = "") -> str:
    """The command that installs cvq anew with an optional dependency group; "" for none."""
    group = f"[{extra}]" if extra else ""
    origin = _origin()
    if origin is None:
        return f"pip install --upgrade 'cvq{group}'"
    url = str(origin.get("url", ""))
    if "vcs_info" in origin:
        return f"pip install 'cvq{group} @ {origin['vcs_info'].get('vcs', 'git')}+{url}'"
    parts = urlsplit(url)
    place = Path(unquote(parts.path))
    if parts.scheme == "file" and not place.exists():
        return f"pip install '.{group}' in a checkout of cvq"
    if parts.scheme != "file" or "archive_info" in origin:
        return f"pip install 'cvq{group} @ {url}'"
    editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
    return f"pip install {editable}'{place}{group}'"


def _origin() -> dict[str, Any] | None:
    """What pip noted; None for a package from an index, and where nothing can be read."""
    from importlib import metadata  # slow to import, and only an error needs it

    try:
        text = metadata.distribution("cvq").read_text("direct_url.json")
        found = json.loads(text) if text else None
    except (metadata.PackageNotFoundError, OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
