"""The fields of a sidecar that are written here, and how a person's are distinguished from ours.

Every written value is noted in a namespace of our own: a rating, keyword or description that differs from the
note is a person's. The notes also say what stood there before, so that all can be taken back.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from vlm_aes.errors import OutputError
from vlm_aes.output.xmp.packet import Leaf

NAMESPACE, PREFIX = "urn:vlm-aes:xmp:1/", "vlmaes"
"""Of our notes."""
KEYWORD_ROOT = "vlm-aes"
"""Above our keywords, where a program keeps keywords as a tree."""
RATING = "Xmp.xmp.Rating"
OTHER_RATINGS = ("Xmp.MicrosoftPhoto.Rating", "Xmp.acdsee.rating")
EXTENSION = "Xmp.photoshop.SidecarForExtension"
_DESCRIPTION, _KEYWORDS = "Xmp.dc.description", "Xmp.dc.subject"
_KEYWORD_TREES = {"Xmp.lr.hierarchicalSubject": "|", "Xmp.digiKam.TagsList": "/"}
"""Keywords as trees, with what separates their levels. Programs that read one of these (Immich, digiKam, Lightroom)
do not look at the plain list beside it."""
_DEFAULT_LANGUAGE = "x-default"
PICK, GOOD = "Xmp.xmpDM.pick", "Xmp.xmpDM.good"
"""The flag of Lightroom Classic since 13.2, in both fields that it reads: 1 and true, or -1 and false."""
LABEL, LABEL_COLOR = "Xmp.xmp.Label", "Xmp.photoshop.LabelColor"
"""The colour label: its English name, and the same in lower case."""
_MARKS = {"flag": (PICK, GOOD), "label": (LABEL, LABEL_COLOR)}
"""What a person sets as one thing, and the fields that say it."""


class SidecarFields:
    """The fields of a sidecar while a rating is put into them.

    Args:
        data: ``XmpData`` of the ``library``, exiv2; changed in place.

    Attributes:
        changed: whether anything was.
        changes, kept: new values, and a person's, which stay, in words.
        replaced: values that made room, by property.
        is_empty: after :meth:`take_back`, whether nothing is left of a sidecar that was made here.
    """

    def __init__(self, library: Any, data: Any) -> None:
        self._library, self._data = library, data
        self.changed = False
        self.changes: list[str] = []
        self.kept: list[str] = []
        self.replaced: list[Leaf] = []
        self.is_empty = False

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
                if now is not None and now != ours:
                    self.put(own_key("ratingBefore"), str(now))
                self.put(RATING, str(stars))
                self.changes.append(f"rating {stars}")
            self.put(own_key("rating"), str(stars))

    def keywords(self, keywords: tuple[str, ...]) -> None:
        """Add keywords to the plain list and to each tree; one of ours with the same subject is replaced. A tree that
        is not there yet begins with all that the plain list holds."""
        if not keywords:
            return
        subjects = {k.split(": ")[0] for k in keywords}
        present, earlier = self._list(_KEYWORDS), self._list(own_key("keywords"))
        stale = [k for k in earlier if k.split(": ")[0] in subjects and k not in keywords]
        new = [k for k in keywords if k not in present]
        self._set_list(_KEYWORDS, [*(k for k in present if k not in stale), *new])
        added_trees = self._list(own_key("trees"))
        ours = list(dict.fromkeys([*(k for k in earlier if k not in stale), *new]))
        for key, separator in _KEYWORD_TREES.items():
            leaves = self._list(key)
            if not leaves:
                added_trees = [*added_trees, key[4:]]
                leaves = [k for k in present if k not in earlier]
            stale_leaves = {f"{KEYWORD_ROOT}{separator}{k}" for k in stale}
            wanted = [f"{KEYWORD_ROOT}{separator}{k}" for k in ours]
            rest = [k for k in leaves if k not in stale_leaves]
            self._set_list(key, [*rest, *(k for k in wanted if k not in rest)])
        self._set_list(own_key("trees"), added_trees)
        self._set_list(own_key("keywords"), ours)
        if new:
            self.changes.append(", ".join(new))

    def marks(self, pick: int | None, label: str | None) -> None:
        """Set flag and colour label, unless a person did, or took ours away.

        Args:
            pick: 1 picked, -1 rejected; None for no flag.
            label: ``Red``, ``Yellow``, ``Green``, ``Blue`` or ``Purple``; None for no label.
        """
        flag = {} if pick is None else {PICK: str(pick), GOOD: "true" if pick > 0 else "false"}
        colors = {} if label is None else {LABEL: label, LABEL_COLOR: label.lower()}
        for name, values in (("flag", flag), ("label", colors)):
            keys = _MARKS[name]
            now, ours = self._mark(keys)
            if now != ours:
                self.kept.append(f"{name} {_shown(now)}")
                continue
            if {k: v for k, v in now.items() if v is not None} == values:
                continue
            for key in keys:
                for place in (key, _note_key(key)):
                    if key in values:
                        self.put(place, values[key])
                    else:
                        self._remove(place)
            self.changes.append(f"{name} {_shown(values)}")

    def _take_back_marks(self) -> None:
        """Remove a flag and a label that are ours."""
        for name, keys in _MARKS.items():
            now, ours = self._mark(keys)
            if not any(ours.values()):
                continue
            if now == ours:
                for key in keys:
                    self._remove(key)
                self.changes.append(f"no {name}")
            else:
                self.kept.append(f"{name} {_shown(now)}")

    def _mark(self, keys: Iterable[str]) -> tuple[dict[str, str | None], dict[str, str | None]]:
        """The values of a mark's fields, and those that were written here."""
        now, ours = ({k: text_of(self._data, spell(k)) for k in keys} for spell in (str, _note_key))
        return now, ours

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

    def take_back(self, embedded: int) -> None:
        """Remove all that is ours. A rating, keyword or description that a person changed since stays.

        Args:
            embedded: rating that the image file itself holds; where the sidecar only repeats it, it goes as well.
        """
        now, ours = (whole_number(text_of(self._data, key)) for key in (RATING, own_key("rating")))
        before = text_of(self._data, own_key("ratingBefore"))
        if ours is not None and now == ours:
            self.changes.append(f"rating {before}" if before else "no rating")
            if before:
                self.put(RATING, before)
            else:
                self._remove(RATING)
        elif now:
            self.kept.append(f"rating {now}")
        words, added_trees = self._list(own_key("keywords")), self._list(own_key("trees"))
        plain = [k for k in self._list(_KEYWORDS) if k not in words]
        for key, separator in _KEYWORD_TREES.items():
            rest = [k for k in self._list(key) if k not in {f"{KEYWORD_ROOT}{separator}{w}" for w in words}]
            self._set_list(key, [] if key[4:] in added_trees and set(rest) <= set(plain) else rest)
        self._set_list(_KEYWORDS, plain)
        description = text_of(self._data, own_key("description"))
        if description and _DESCRIPTION in self._data:
            languages = dict(self._data[_DESCRIPTION].getValue())
            if languages.get(_DEFAULT_LANGUAGE, "").strip() == description:
                self._remove(_DESCRIPTION)
                del languages[_DEFAULT_LANGUAGE]
                if languages:
                    self._data[_DESCRIPTION] = self._library.LangAltValue(languages)
                self.changes.append("no description")
            else:
                self.kept.append("description")
        self._take_back_marks()
        created = text_of(self._data, own_key("created")) is not None
        for key in [d.key() for d in self._data if d.key().startswith(own_key(""))]:
            self._remove(key)
        rest_keys = {d.key() for d in self._data}
        self.is_empty = created and rest_keys <= {EXTENSION, RATING} and (RATING not in rest_keys or now == embedded)

    def put(self, key: str, text: str) -> None:
        """Set a plain text."""
        now = text_of(self._data, key)
        if now != text:
            if now is not None:
                self.replaced.append((self._named(key), now))
            self._data[key] = text
            self.changed = True

    def _remove(self, key: str) -> None:
        if key not in self._data:
            return
        value = self._data[key].getValue()
        texts = [str(self._data[key].value())]
        if isinstance(value, self._library.XmpArrayValue):
            texts = [str(part) for part in value]
        elif isinstance(value, self._library.LangAltValue):
            texts = [text for language, one in dict(value).items() for text in (one, f"{language}: {one}")]
        self.replaced += [(self._named(key), text) for text in texts]
        del self._data[key]
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
        if now and not parts:
            self._remove(key)
        elif now != parts:
            self.replaced += [(self._named(key), p) for p in now if p not in parts]
            self._data[key] = self._library.XmpArrayValue(parts, self._library.TypeId.xmpBag)
            self.changed = True


def own_key(name: str) -> str:
    return f"Xmp.{PREFIX}.{name}"


def _shown(values: Mapping[str, str | None]) -> str:
    """A mark for a person: the first of its values."""
    return next(filter(None, values.values()), "none")


def _note_key(key: str) -> str:
    """Where the value that was written into a field is noted."""
    name = key.rsplit(".", 1)[1]
    return own_key(name[0].lower() + name[1:])


def text_of(data: Any, key: str) -> str | None:
    """A field's value as text; None for a field that is not there."""
    return str(data[key].value()) if key in data else None


def whole_number(text: str | None) -> int | None:
    """A whole number, as ratings are; None for another text."""
    try:
        return None if text is None else round(float(text))
    except ValueError:
        return None
