"""What a text praises, faults and speaks of, by counted words.

Only good for the vocabulary of photos. An audit says how well the sentiment agrees with the scores
that experts gave beside their own critiques.
"""

from vlm_aes.critique.lexicon import lexicon
from vlm_aes.critique.statements import is_advice, sentences


def sentiment(text: str) -> float:
    """From -1 (all fault) to 1 (all praise); 0 for a text that says neither.

    A word of praise after a denial ("is not clear") does not count; a sentence of advice counts as
    one fault.
    """
    words = lexicon()
    praise = fault = 0
    for sentence in sentences(text):
        if is_advice(sentence):
            fault += 1
            continue
        fault += len(words.fault.findall(sentence))
        praise += sum(not words.denial.search(sentence[: match.start()]) for match in words.praise.finditer(sentence))
    return (praise - fault) / (praise + fault + 1)


def aspects(text: str) -> frozenset[str]:
    """The aspects that a text speaks of, by their names in ``lexicon.toml``."""
    return frozenset(name for name, p in lexicon().aspects.items() if p.search(text))
