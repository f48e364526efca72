"""Selectors, reasons and what they find, without the command line."""
