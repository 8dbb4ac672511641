"""The version of the project, which exported weights carry."""

VERSION = "0.2.0"
