"""The kind `command`: a program in the job's process tree, and all that it says and leaves."""
