"""One attempt of one job as its worker sees it: its lease, its process, and what it leaves."""
