"""The figures of a report, one file each; ``vsbench.report.gallery`` says which there are."""
