"""Worlds of known truth that we make ourselves."""
