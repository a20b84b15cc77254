"""The fields of a sidecar that are written here, and how a person's are told from ours.

What was written last is noted in a namespace of our own: a rating, keyword or description that
differs from the note is a person's.
"""

from __future__ import annotations

from typing import Any

from vlm_aes.errors import OutputError
from vlm_aes.output.xmp.packet import Leaf

NAMESPACE, PREFIX = "urn:vlm-aes:xmp:1/", "vlmaes"
ROOT = "vlm-aes"
"""Above our keywords, where a program keeps keywords as a tree."""
RATING = "Xmp.xmp.Rating"
OTHER_RATINGS = ("Xmp.MicrosoftPhoto.Rating", "Xmp.acdsee.rating")
_DESCRIPTION, _SUBJECT = "Xmp.dc.description", "Xmp.dc.subject"
_TREES = {"Xmp.lr.hierarchicalSubject": "|", "Xmp.digiKam.TagsList": "/"}
"""Keywords as trees. Programs that read one of these do not look at the plain list beside it."""
_DEFAULT = "x-default"


class Fields:
    """A sidecar's fields while what was rated is put into them.

    Args:
        library: exiv2.
        data: its ``XmpData``; changed in place.

    Attributes:
        touched: something was changed.
        changes: what is new, in words.
        kept: what is a person's and stays, in words.
        replaced: values that made room, by property.
    """

    def __init__(self, library: Any, data: Any) -> None:
        self._library = library
        self._data = data
        self.touched = False
        self.changes: list[str] = []
        self.kept: list[str] = []
        self.replaced: list[Leaf] = []

    def rating(self, stars: int | None, of_picture: int, unrated: int, overwrite: bool) -> None:
        """Set the rating, unless a person did: here, in the picture, or with another program."""
        now, ours = (whole(self._get(k)) for k in (RATING, _own("rating")))
        if ours is None:
            others = map(whole, map(self._get, OTHER_RATINGS))
            found = next((v for v in (now, *others) if v and v != unrated), 0) or of_picture
            a_persons = found not in (0, unrated)
        else:
            found, a_persons = now or 0, now != ours
        if a_persons and not overwrite:
            self.kept.append(f"rating {found}")
            if found == of_picture and ours is None:
                # a program that finds a sidecar looks no further: the rating has to be in it
                self.put(RATING, str(found))
        elif stars or (stars == 0 and now):
            if now != stars:
                self.put(RATING, str(stars))
                self.changes.append(f"rating {stars}")
            self.note("rating", str(stars))

    def keywords(self, wanted: tuple[str, ...]) -> None:
        """Add keywords to the plain list and to each tree that is there."""
        if not wanted:
            return
        subjects = {_subject(k) for k in wanted}
        present, earlier = self._list(_SUBJECT), self._list(_own("keywords"))
        stale = [k for k in earlier if _subject(k) in subjects and k not in wanted]
        fresh = [k for k in wanted if k not in present]
        self._set_list(_SUBJECT, [*(k for k in present if k not in stale), *fresh])
        for key, between in _TREES.items():
            leafs = self._list(key)
            if leafs:
                old = {f"{ROOT}{between}{k}" for k in stale}
                new = [f"{ROOT}{between}{k}" for k in wanted]
                rest = [k for k in leafs if k not in old]
                self._set_list(key, [*rest, *(k for k in new if k not in rest)])
        ours = [*(k for k in earlier if k not in stale), *fresh]
        self._set_list(_own("keywords"), list(dict.fromkeys(ours)))
        if fresh:
            self.changes.append(", ".join(fresh))

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
        now = dict(languages).get(_DEFAULT, "")
        ours = self._get(_own("description"))
        if now.strip() != (ours or ""):
            self.kept.append("description")
            return
        if now != text:
            for leaf in (now, f"{_DEFAULT}: {now}"):
                self.replaced.append((self._named(_DESCRIPTION), leaf))
            languages[_DEFAULT] = text
            self._data[_DESCRIPTION] = languages
            self.touched = True
            self.changes.append("description")
        self.note("description", text)

    def note(self, name: str, text: str) -> None:
        """Set a text in our own namespace."""
        self.put(_own(name), text)

    def put(self, key: str, text: str) -> None:
        """Set a plain text."""
        now = self._get(key)
        if now != text:
            if now is not None:
                self.replaced.append((self._named(key), now))
            self._data[key] = text
            self.touched = True

    def _named(self, key: str) -> str:
        """``{namespace}name`` of a key."""
        _, prefix, name = key.split(".", 2)
        return f"{{{self._library.XmpProperties.ns(prefix)}}}{name}"

    def _get(self, key: str) -> str | None:
        return text_of(self._data, key)

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
            self.touched = True


def _own(name: str) -> str:
    return f"Xmp.{PREFIX}.{name}"


def _subject(keyword: str) -> str:
    return keyword.split(": ", maxsplit=1)[0]


def text_of(data: Any, key: str) -> str | None:
    """A field's value as text; nothing for none."""
    return str(data[key].value()) if key in data else None


def whole(text: str | None) -> int | None:
    """A whole number, as ratings are; nothing for none."""
    try:
        return None if text is None else round(float(text))
    except ValueError:
        return None
