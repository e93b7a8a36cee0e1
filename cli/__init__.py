"""The command line of cvq, installed as `cvq_cli`."""
