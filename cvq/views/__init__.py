"""What is asked of the history, for the command line and the web alike. Nothing is drawn here."""
