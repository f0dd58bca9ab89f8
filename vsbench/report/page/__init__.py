"""The report as a page to look at: one HTML file, and beside it what the failure explorer loads when it is asked."""
