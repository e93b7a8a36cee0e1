"""The inside of a job's process. It knows neither the database nor the artifact store."""
