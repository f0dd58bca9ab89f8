"""The ledger as a package without code, so that it ships with vsbench: papers, and in reruns/ what others ran again."""
