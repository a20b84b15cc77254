"""Everything that rates an image: ``scorer.py`` is the protocol, ``registry.py`` the table.

``vlm`` asks vision-language models, ``heads`` holds the fast path, ``external`` published predictors,
``remote`` servers, ``ensemble`` several scorers at once, ``nano`` the embedded weights.
"""
