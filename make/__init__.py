"""What is done in this folder: `python -m make TASK`, on any system, by any Python from 3.11 on, without packages.

The files beside this one, without a suffix, call it on systems that have bash.
"""
