"""The fields of a sidecar that are written here, and how a person's are distinguished from ours.

Every written value is noted in a namespace of our own: a rating, keyword or description that differs from the
note is a person's.
"""

from typing import Any

from vlm_aes.errors import OutputError
from vlm_aes.output.xmp.packet import Leaf

NAMESPACE, PREFIX = "urn:vlm-aes:xmp:1/", "vlmaes"
"""Of our notes."""
KEYWORD_ROOT = "vlm-aes"
"""Above our keywords, where a program keeps keywords as a tree."""
RATING = "Xmp.xmp.Rating"
OTHER_RATINGS = ("Xmp.MicrosoftPhoto.Rating", "Xmp.acdsee.rating")
_DESCRIPTION, _KEYWORDS = "Xmp.dc.description", "Xmp.dc.subject"
_KEYWORD_TREES = {"Xmp.lr.hierarchicalSubject": "|", "Xmp.digiKam.TagsList": "/"}
"""Keywords as trees. Programs that read one of these do not look at the plain list beside it."""
_DEFAULT_LANGUAGE = "x-default"


class SidecarFields:
    """The fields of a sidecar while a rating is put into them.

    Args:
        data: ``XmpData`` of the ``library``, exiv2; changed in place.

    Attributes:
        changed: whether anything was.
        changes, kept: new values, and a person's, which stay, in words.
        replaced: values that made room, by property.
    """

    def __init__(self, library: Any, data: Any) -> None:
        self._library, self._data = library, data
        self.changed = False
        self.changes: list[str] = []
        self.kept: list[str] = []
        self.replaced: list[Leaf] = []

    def rating(self, stars: int | None, embedded: int, unrated: int, overwrite: bool) -> None:
        """Set the rating, unless a person did: here, in the image (``embedded``), or with another program.
        ``unrated`` is the rating that stands for none."""
        now, ours = (whole_number(text_of(self._data, key)) for key in (RATING, own_key("rating")))
        if ours is None:
            others = (whole_number(text_of(self._data, key)) for key in OTHER_RATINGS)
            rating = next((v for v in (now, *others) if v and v != unrated), 0) or embedded
            is_persons = rating not in (0, unrated)
        else:
            rating, is_persons = now or 0, now != ours
        if is_persons and not overwrite:
            self.kept.append(f"rating {rating}")
            if rating == embedded and ours is None:
                # a program that finds a sidecar looks no further: the rating has to be in it
                self.put(RATING, str(rating))
        elif stars or (stars == 0 and now):
            if now != stars:
                self.put(RATING, str(stars))
                self.changes.append(f"rating {stars}")
            self.put(own_key("rating"), str(stars))

    def keywords(self, keywords: tuple[str, ...]) -> None:
        """Add keywords to the plain list and to each tree that is there; one of ours with the same subject is
        replaced."""
        if not keywords:
            return
        subjects = {k.split(": ")[0] for k in keywords}
        present, earlier = self._list(_KEYWORDS), self._list(own_key("keywords"))
        stale = [k for k in earlier if k.split(": ")[0] in subjects and k not in keywords]
        new = [k for k in keywords if k not in present]
        self._set_list(_KEYWORDS, [*(k for k in present if k not in stale), *new])
        for key, separator in _KEYWORD_TREES.items():
            if leaves := self._list(key):
                stale_leaves = {f"{KEYWORD_ROOT}{separator}{k}" for k in stale}
                wanted = [f"{KEYWORD_ROOT}{separator}{k}" for k in keywords]
                rest = [k for k in leaves if k not in stale_leaves]
                self._set_list(key, [*rest, *(k for k in wanted if k not in rest)])
        ours = [*(k for k in earlier if k not in stale), *new]
        self._set_list(own_key("keywords"), list(dict.fromkeys(ours)))
        if new:
            self.changes.append(", ".join(new))

    def describe(self, text: str | None) -> None:
        """Set the description, unless a person wrote one."""
        if not text:
            return
        languages = self._library.LangAltValue()
        if _DESCRIPTION in self._data:
            languages = self._data[_DESCRIPTION].getValue()
            if not isinstance(languages, self._library.LangAltValue):
                self.kept.append("description")
                return
        now = dict(languages).get(_DEFAULT_LANGUAGE, "")
        ours = text_of(self._data, own_key("description"))
        if now.strip() != (ours or ""):
            self.kept.append("description")
            return
        if now != text:
            for leaf in (now, f"{_DEFAULT_LANGUAGE}: {now}"):
                self.replaced.append((self._named(_DESCRIPTION), leaf))
            languages[_DEFAULT_LANGUAGE] = text
            self._data[_DESCRIPTION] = languages
            self.changed = True
            self.changes.append("description")
        self.put(own_key("description"), text)

    def put(self, key: str, text: str) -> None:
        """Set a plain text."""
        now = text_of(self._data, key)
        if now != text:
            if now is not None:
                self.replaced.append((self._named(key), now))
            self._data[key] = text
            self.changed = True

    def _named(self, key: str) -> str:
        """``{namespace}name`` of a key."""
        _, prefix, name = key.split(".", 2)
        return f"{{{self._library.XmpProperties.ns(prefix)}}}{name}"

    def _list(self, key: str) -> list[str]:
        if key not in self._data:
            return []
        value = self._data[key].getValue()
        if not isinstance(value, self._library.XmpArrayValue):
            raise OutputError(f"its {key[4:]} is no plain list; it is left as it is")
        return [str(part) for part in value]

    def _set_list(self, key: str, parts: list[str]) -> None:
        now = self._list(key)
        if now != parts:
            self.replaced += [(self._named(key), p) for p in now if p not in parts]
            self._data[key] = self._library.XmpArrayValue(parts, self._library.TypeId.xmpBag)
            self.changed = True


def own_key(name: str) -> str:
    return f"Xmp.{PREFIX}.{name}"


def text_of(data: Any, key: str) -> str | None:
    """A field's value as text; None for a field that is not there."""
    return str(data[key].value()) if key in data else None


def whole_number(text: str | None) -> int | None:
    """A whole number, as ratings are; None for another text."""
    try:
        return None if text is None else round(float(text))
    except ValueError:
        return None
