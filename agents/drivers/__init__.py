"""One folder per engine, each behind the contract in `agents.drivers.base`."""
