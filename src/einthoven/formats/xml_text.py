"""XML of any source, read safely: no entity, nothing fetched, bounded in size, depth and count.

One idea: what a bomb needs (entities, default attributes, depth, tokens without end) is refused while parsing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from einthoven.errors import MissingExtraError, RecordError
from einthoven.formats.files import Files

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["child_text", "read_xml", "sniff_root", "tidy"]

_ROOTS = {"AnnotatedECG": "HL7 aECG", "restingecgdata": "Philips SierraECG", "RestingECG": "GE MUSE"}
_MOST_BYTES = 32 << 20  # ten seconds of twelve leads take 0.1 to 2 MB
_MOST_DEPTH = 100
_MOST_ELEMENTS = 100_000  # files with all measurements have some thousand
_MOST_ATTRIBUTES = 200_000
_LONGEST_TOKEN = 1 << 20  # a tag or comment; expat 2.5 scans one that arrives in pieces again with each piece
_PIECE = 1 << 16
_LONG_HEAD = 1 << 16
_CUT_CODES = {3, 5, 6, 20}  # expat: no element, unclosed token, partial character, unclosed CDATA section
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_MISC = re.compile(r"\s*+(?:<\?.*?\?>|<!--.*?-->)", re.DOTALL)
_DOCTYPE = re.compile(r"\s*+<!DOCTYPE\s++([\w.:-]++)")
_ROOT = re.compile(r"\s*+<([\w.:-]++)")


def sniff_root(files: Files) -> str:
    """Return the local name of the root element from a file's first bytes, empty where there is none.

    A document type names the root, so what it declares need not be understood.
    """
    head = files.head()
    root = _root_name(head)
    if not root and head.lstrip()[:1] in (b"<", b"\xff", b"\xfe", b"\xef"):
        root = _root_name(files.head(n_bytes=_LONG_HEAD))  # behind a long comment
    return root.rpartition(":")[2]


def _root_name(head: bytes) -> str:
    encoding = next((name for bom, name in _BOMS if head.startswith(bom)), "")
    if not encoding:
        encoding = {b"<\0": "utf-16-le", b"\0<": "utf-16-be"}.get(head[:2], "latin-1")
    text = head.decode(encoding, errors="ignore").removeprefix("\ufeff").removeprefix("\xef\xbb\xbf")
    at = 0
    while misc := _MISC.match(text, at):
        at = misc.end()
    found = _DOCTYPE.match(text, at) or _ROOT.match(text, at)
    return found[1] if found else ""


def read_xml(files: Files, root: str) -> Element:
    """Parse a file whose root element is ``root``.

    Args:
        files: the file.
        root: local name of the root element.

    Returns:
        The root; names of elements and attributes are without their namespace.

    Raises:
        RecordError: empty, cut, no well-formed XML, of another root, with entities, or beyond the bounds.
        MissingExtraError: defusedxml is absent.
    """
    # head() with a bound, not read(): a file of gigabytes is refused before it fills the memory.
    content = files.head(n_bytes=_MOST_BYTES + 1) or files.read()
    if not content.strip():
        raise RecordError(f"{files.name}: the file is empty")
    if len(content) > _MOST_BYTES:
        raise RecordError(f"{files.name}: larger than {_MOST_BYTES >> 20} MB, too much for one ECG as XML")
    element = _parse(content, files.name)
    if element.tag != root:
        known = "; ".join(f"<{tag}> of {what}" for tag, what in _ROOTS.items())
        raise RecordError(f"{files.name}: the root element is <{element.tag[:40]}>; Einthoven reads {known}")
    return element


def _parse(content: bytes, name: str) -> Element:
    try:
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import DefusedXMLParser, ParseError
    except ImportError as error:
        raise MissingExtraError("reading XML", "formats") from error
    parser = DefusedXMLParser(target=_bounded_builder(name), forbid_entities=True, forbid_external=True)

    def refuse_default(*_: Any) -> None:
        raise RecordError(f"{name}: its document type declares attributes, which no ECG needs; remove the declarations")

    # One default of a megabyte, repeated for each element, is a bomb without any entity.
    parser.parser.AttlistDeclHandler = refuse_default
    try:
        return _feed(parser, content, name)
    except DefusedXmlException as error:
        raise RecordError(
            f"{name}: its document type declares entities, which could refer to other files or grow without bound; "
            "remove the declarations"
        ) from error
    except ParseError as error:
        if error.code in _CUT_CODES:
            raise RecordError(f"{name}: the XML ends too early, in line {error.position[0]}; copy it again") from error
        raise RecordError(f"{name}: no well-formed XML: {error}") from error
    except (LookupError, ValueError, RecursionError) as error:
        raise RecordError(f"{name}: the encoding that the XML declares cannot be read: {error}") from error


def _feed(parser: Any, content: bytes, name: str) -> Element:
    for start in range(0, len(content), _PIECE):
        parser.feed(content[start : start + _PIECE])
        if start + _PIECE - parser.parser.CurrentByteIndex > _LONGEST_TOKEN:
            raise RecordError(f"{name}: a tag or comment is longer than {_LONGEST_TOKEN >> 20} MB")
    return parser.close()


def _bounded_builder(name: str) -> Any:
    from xml.etree.ElementTree import TreeBuilder

    class Bounded(TreeBuilder):
        """Counts while it builds, so that a bomb is refused before it has grown."""

        depth = elements = attributes = 0

        def start(self, tag: Any, attrs: dict[Any, Any], /) -> Any:
            self.depth += 1
            self.elements += 1
            self.attributes += len(attrs)
            if self.depth > _MOST_DEPTH:
                raise RecordError(f"{name}: elements are nested deeper than {_MOST_DEPTH}, which no ECG needs")
            if self.elements > _MOST_ELEMENTS or self.attributes > _MOST_ATTRIBUTES:
                raise RecordError(
                    f"{name}: more than {_MOST_ELEMENTS} elements or {_MOST_ATTRIBUTES} attributes, too many for an ECG"
                )
            return super().start(_local(tag), {_local(key): value for key, value in attrs.items()})

        def end(self, tag: Any, /) -> Any:
            self.depth -= 1
            return super().end(_local(tag))

    return Bounded()


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def tidy(text: str | None) -> str:
    """Return text with each run of white space made one space, none at the ends."""
    return " ".join((text or "").split())


def child_text(element: Element, path: str) -> str:
    """Return the tidy text of the first element at ``path``, empty where there is none."""
    return tidy(element.findtext(path))
