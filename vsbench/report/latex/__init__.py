"""The report in LaTeX: tables, their notes, the appendix and the document that holds them."""
