"""The one place where a file is opened."""
