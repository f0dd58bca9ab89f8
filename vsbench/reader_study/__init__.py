"""Reader study: a blinded form for people to score images in, and what their scores say."""
