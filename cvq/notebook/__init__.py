"""What a notebook shows of jobs: HTML that asks for nothing outside of itself, within bounds.

Whatever a job is called or has left, is escaped or left out; nothing here raises for it.
"""
