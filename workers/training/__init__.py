"""Training: one loop for every model, its guards, the model file and the report it leaves."""
