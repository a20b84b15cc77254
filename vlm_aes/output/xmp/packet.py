"""The bytes of a sidecar and the frame of its XMP: byte order mark, encoding, header, wrapper.

The XMP library writes a frame of its own; other programs get theirs back as it was.
"""

import codecs
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self
from xml.etree import ElementTree

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""The longer mark first: UTF-32's begins like UTF-16's."""
_META_START, _META_END = "<x:xmpmeta", "</x:xmpmeta>"
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_XMP_META = "{adobe:ns:meta/}"
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"

Leaf = tuple[str, str]
"""A property's name with its namespace, and one value below it."""


@dataclass(frozen=True)
class Packet:
    """XMP as text, and its frame in the file.

    Attributes:
        body: the ``x:xmpmeta`` element.
        mark, encoding: the byte order mark, where there is one, and the encoding of the file.
        head, tail: before and behind the element; an XML header, the packet wrapper.
    """

    body: str
    mark: bytes = b""
    encoding: str = "utf-8"
    head: str = ""
    tail: str = ""

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Take a file's bytes apart. A file without ``x:xmpmeta`` is all body. Raises UnicodeDecodeError for bytes that
        are no text of their encoding."""
        mark, encoding = next(((m, e) for m, e in _BYTE_ORDER_MARKS if data.startswith(m)), (b"", "utf-8"))
        text = data[len(mark) :].decode(encoding)
        start, end = text.find(_META_START), text.rfind(_META_END)
        if start < 0 or end < start:
            return cls(text, mark, encoding)
        end += len(_META_END)
        return cls(text[start:end], mark, encoding, text[:start], text[end:])

    def with_body(self, written: Self) -> bytes:
        """The file's bytes with another body in the same frame."""
        frame = self if self.head or self.tail or self.body.startswith(_META_START) else written
        return self.mark + f"{frame.head}{written.body}{frame.tail}".encode(self.encoding)


def leaves(packet: Packet) -> Counter[Leaf]:
    """Every value that a packet holds with the property it belongs to, however it is written: attribute or element,
    short or long form. Raises xml.etree.ElementTree.ParseError for a body that is no XML."""
    return Counter(_leaves_of(ElementTree.fromstring(packet.body), ""))


def _leaves_of(element: ElementTree.Element, name: str) -> Iterator[Leaf]:
    if not element.tag.startswith((_RDF, _XMP_META)):
        name = element.tag
    for attribute, value in element.attrib.items():
        if attribute == f"{_RDF}resource":
            yield name, value
        elif attribute == _LANG:
            yield name, f"{value}: {element.text or ''}"
        elif not attribute.startswith((_RDF, _XMP_META)):
            yield attribute, value
    for child in element:
        yield from _leaves_of(child, name)
    if not len(element) and (element.text or not (element.attrib or element.tag.startswith(_RDF))):
        yield name, element.text or ""
