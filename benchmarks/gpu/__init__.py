"""The GPU put to the test: ``python -m benchmarks.gpu``, and the results that were had, by the card's name."""
