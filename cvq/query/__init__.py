"""The language in which the history is asked, and how it is answered.

`parser` and `keys` read what somebody has written into a `tree`, and know no database; `meaning`
finds out what its names mean in this history; the rest makes SQL of it. docs/querying.md has the
language.
"""
