"""Console commands, one module each; every module has a `main`.

What a command refuses, and its --help, is said before torch is imported:
heavy imports stand inside the functions that work.
"""
