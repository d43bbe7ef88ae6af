"""Judges, baselines, protocols and the report: they measure the verbs themselves."""
