"""How a job's process comes to be: launcher, fork server, supervisor, environment."""
