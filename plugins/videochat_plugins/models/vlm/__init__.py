"""Video-language models of transformers: one model that sees and answers, and one file for each family of them."""
