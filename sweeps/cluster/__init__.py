"""Machines: everything that knows Ray. Executors hand jobs to workers; a worker holds one device."""
