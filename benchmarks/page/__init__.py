"""Receive in a page of Chromium: sockstore on Pyodide beside plain JavaScript."""
