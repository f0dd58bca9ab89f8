"""Speed and memory, as ratios against a stated baseline measured in one run."""
