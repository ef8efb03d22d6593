"""Pools described, generated, loaded and checked."""
