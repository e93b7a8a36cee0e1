"""The kinds that come with cvq: a module for each, called as its `KIND` is."""
