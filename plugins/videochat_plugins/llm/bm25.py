"""Okapi BM25 over short texts (Robertson and Zaragoza 2009, equation 3.15)."""

import math
from collections import Counter
from collections.abc import Sequence

K1 = 1.5  # how soon more of the same word stops to count
B = 0.75  # how much a long text must hold to count as much as a short one


def scores(query: Sequence[str], texts: Sequence[Sequence[str]]) -> list[float]:
    """Return the score of each text (a sequence of terms) for the query's terms; 0 where they share none."""
    wanted = dict.fromkeys(query)
    counts = [Counter(term for term in text if term in wanted) for text in texts]
    mean = sum(map(len, texts)) / len(texts) if texts else 0.0
    weight = {}
    for term in wanted:
        holding = sum(term in count for count in counts)
        weight[term] = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
    return [
        sum(weight[term] * n * (K1 + 1) / (n + K1 * (1 - B + B * len(text) / mean)) for term, n in count.items())
        for text, count in zip(texts, counts, strict=True)
    ]
