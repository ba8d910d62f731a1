"""The pages that people use: made on the server, of the same verbs as everything else."""
