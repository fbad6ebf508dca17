#!/usr/bin/env python
"""Django's command line for the portal; the same as ``nova-cells`` of the package."""

from portal.cli import main

if __name__ == "__main__":
    main()
