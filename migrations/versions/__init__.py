"""One file per schema version, the file names in order."""
