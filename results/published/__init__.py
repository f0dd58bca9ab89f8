"""The ledger of printed numbers as a package without code, so that it ships with vsbench: a CSV and a YAML per paper."""
