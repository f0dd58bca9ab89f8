"""From runs and image folders to per-image tables and set values with provenance."""
