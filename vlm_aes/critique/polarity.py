"""Whether a text praises or faults, without a judge model: counted words of praise and of fault.

Only good for the vocabulary of pictures. An audit says how well it agrees with the scores that
experts gave beside their own critiques.
"""

from __future__ import annotations

import re

from vlm_aes.critique.statements import is_advice, sentences

_PRAISE = """
accomplished accurate alive appealing atmosphere attractive balanced beautiful bold bright* calm
captivating careful* catch* caught character clean clear* clever cohesive confident convincing
crisp decent delicat* delicate delight* depth* distinctive dramatic dynamic elegant energy
engaging enhanced enhances enhancing excellent exquisite fine flatter* fresh fun good grand* great
harmon* humour impactful impressive innovative interesting inviting keeper layer* lively majestic
masterful memorable mood nice* novel orderly outstanding peaceful perfect pleas* poetic powerful
precise pure realistic respectable restful rewarding rich* rigorous serene sharp skil* smooth
soft* solid sound splendid stable straight strik* strong* stunning sublime succe* superb texture
true unified unique upright vibrant vivid* warm well wonder* works worth*
"""
_FAULT = """
accidental anonymous artefacts artifacts average awkward bad* basic beginner below blocks blown
blur* boring burnt cannot careless casual chaotic clash* clipped clutter* compete* compress*
confus* crowd* cumbersome cut* dark darkness deficien* disappointing disord* distract* drab dull
empty error* fail* failure fall* flat forgettable fussy grain* haphazard hard harsh hazy immature
improve* inaccura* inadequate incoheren* incomplete insufficien* issue* jumbled lack* lean* less
lifeless little loose lost lower mediocre mess* middling miss* monoton* muddled muddy need needed
needs no nois* nor not nothing nowhere off-putting ordinary over* plain poor* problem* rigid
rough* ruin* scattered simple single* somewhat sorry spoil* stiff still strange* strengthen* thin
tilt* too unable unappealing unclear uncomfortable unconvincing underexpos* unhinged unimpressive
uninteresting uninviting unkind unnatural unplanned unpleasant unreasonable unremarkable unsettles
wander* washed weak* without wrong
"""


def _pattern(words: str) -> re.Pattern[str]:
    stems = "|".join(
        re.escape(word[:-1]) + r"\w*" if word.endswith("*") else re.escape(word)
        for word in words.split()
    )
    return re.compile(rf"\b(?:{stems})\b", re.I)


_PRAISED, _FAULTED = _pattern(_PRAISE), _pattern(_FAULT)
_DENIED = re.compile(r"\b(?:not|no|lacks?|lacking|nothing|without|never|hardly|insufficient\w*)"
                     r"(?: \w+){0,3} ?$", re.I)  # fmt: skip


def polarity(text: str) -> float:
    """From -1 (all fault) to 1 (all praise); 0 for a text that says neither.

    A word of praise after a denial ("is not clear") counts as fault; a sentence of advice counts as
    one fault.
    """
    praise = fault = 0.0
    for sentence in sentences(text):
        if is_advice(sentence):
            fault += 1
            continue
        fault += len(_FAULTED.findall(sentence))
        for match in _PRAISED.finditer(sentence):
            if not _DENIED.search(sentence[: match.start()]):
                praise += 1
    return (praise - fault) / (praise + fault + 1)
