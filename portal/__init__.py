"""The frame of the portal; resources are apps of their own."""

__version__ = "0.2.0"
