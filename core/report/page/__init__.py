"""A report as one HTML file: no script, nothing loaded from elsewhere, every text escaped."""
