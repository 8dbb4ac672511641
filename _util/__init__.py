"""Modules that depend on no model and no data set."""
