"""A sidecar's bytes and what frames its XMP: byte order mark, encoding, header, packet wrapper.

The XMP library writes a frame of its own; other programs get theirs back as it was.
"""

from __future__ import annotations

import codecs
from collections import Counter
from dataclasses import dataclass
from xml.etree import ElementTree

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""The longer mark first: UTF-32's begins like UTF-16's."""
_OPEN, _CLOSE = "<x:xmpmeta", "</x:xmpmeta>"
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_META = "{adobe:ns:meta/}"
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"

Leaf = tuple[str, str]
"""A property's name with its namespace, and one value below it."""


@dataclass(frozen=True)
class Packet:
    """XMP as text, and what stands around it in the file.

    Attributes:
        mark: the byte order mark, where there is one.
        encoding: of the file.
        head, tail: before and behind the ``x:xmpmeta`` element; an XML header, the packet wrapper.
        body: the element.
    """

    body: str
    mark: bytes = b""
    encoding: str = "utf-8"
    head: str = ""
    tail: str = ""

    @staticmethod
    def read(data: bytes) -> Packet:
        """Take a file's bytes apart. A file without ``x:xmpmeta`` is all body.

        Raises:
            UnicodeDecodeError: for bytes that are no text of their encoding.
        """
        mark, encoding = next(((m, e) for m, e in _MARKS if data.startswith(m)), (b"", "utf-8"))
        text = data[len(mark) :].decode(encoding)
        start, end = text.find(_OPEN), text.rfind(_CLOSE)
        if start < 0 or end < start:
            return Packet(text, mark, encoding)
        end += len(_CLOSE)
        return Packet(text[start:end], mark, encoding, text[:start], text[end:])

    def with_body(self, written: Packet) -> bytes:
        """The file's bytes with another body in the same frame."""
        if not (self.head or self.tail or self.body.startswith(_OPEN)):
            text = written.head + written.body + written.tail
        else:
            text = self.head + written.body + self.tail
        return self.mark + text.encode(self.encoding)


def leaves(packet: Packet) -> Counter[Leaf]:
    """Every value that a packet holds with the property it belongs to, however it is written:
    attribute or element, short or long form.

    Raises:
        xml.etree.ElementTree.ParseError: for a body that is no XML.
    """
    found: Counter[Leaf] = Counter()
    _gather(ElementTree.fromstring(packet.body), "", found)
    return found


def _gather(element: ElementTree.Element, name: str, found: Counter[Leaf]) -> None:
    if not element.tag.startswith((_RDF, _META)):
        name = element.tag
    for attribute, value in element.attrib.items():
        if attribute == f"{_RDF}resource":
            found[name, value] += 1
        elif attribute == _LANG:
            found[name, f"{value}: {element.text or ''}"] += 1
        elif not attribute.startswith((_RDF, _META)):
            found[attribute, value] += 1
    if len(element):
        for child in element:
            _gather(child, name, found)
    elif element.text or not (element.attrib or element.tag.startswith(_RDF)):
        found[name, element.text or ""] += 1
