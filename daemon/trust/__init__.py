"""Who is who on the bus: NATS operator mode, with an account for each node that is made and ended while the servers run."""
