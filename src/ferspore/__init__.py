"""Facial-expression training on MindSpore that can be stopped at any instant."""

__version__ = "0.1.0"
