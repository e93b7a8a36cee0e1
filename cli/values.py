"""The values of specifications and results as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .widths import whole

if TYPE_CHECKING:
    from .archive import Archive

_DEEPEST = 5  # level of a result that is shown


def text_of(archive: Archive, value: Any) -> str | list[str]:
    """Text for people: files and records have a line each, plain numbers share one."""
    if not isinstance(value, list):
        return _item(archive, value)
    items = [_item(archive, item) for item in value]
    return items if _has_records(value) else ", ".join(items)


def _item(archive: Archive, value: Any, depth: int = 0) -> str:
    if depth > _DEEPEST and isinstance(value, dict | list):
        return "… (see --json)"
    if isinstance(value, dict):
        if "sha256" in value and "name" in value:
            return _file(archive, value)
        # Records within records are left to --json.
        plain = {key: item for key, item in value.items() if not _has_records(item)}
        return ", ".join(f"{key} {_item(archive, item, depth + 1)}" for key, item in plain.items())
    if isinstance(value, list):
        return f"({', '.join(_item(archive, item, depth + 1) for item in value)})"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)


def _has_records(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)


def _file(archive: Archive, value: dict[str, Any]) -> str:
    if value["sha256"] is None:
        return str(value["name"])
    return f"{value['name']} ({whole(archive.place_of_input(value['sha256']))})"
