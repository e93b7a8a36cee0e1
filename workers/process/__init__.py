"""A worker's hold on a process that runs jobs. It knows neither jobs, leases nor records."""
