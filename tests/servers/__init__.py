"""Real servers for tests: on free ports, in temporary directories, gone without trace afterwards."""
