"""Data that the simulated pool is made of; ORIGIN says where it comes from."""
