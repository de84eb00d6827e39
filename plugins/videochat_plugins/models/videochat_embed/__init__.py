"""VideoChat-Embed (arXiv 2305.06355, section 3.2): a video as tokens of a language model."""
