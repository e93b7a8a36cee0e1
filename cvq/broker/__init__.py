"""Redis: the messages that wake workers, and the server that cvq starts where there is none."""
