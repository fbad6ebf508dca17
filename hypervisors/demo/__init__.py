"""The embedded demo: a fleet of cells to evaluate, develop and test the portal with."""
