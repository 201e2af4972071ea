"""XML of any source: roots are known from the head, bombs are refused, what is cut is named."""

import subprocess
import sys
import time
import tracemalloc

import pytest
from damage import QUICK, assert_record_or_error
from hypothesis import given
from hypothesis import strategies as st

from einthoven.errors import MissingExtraError, RecordError
from einthoven.formats import MemoryFiles, read_record
from einthoven.formats.registry import ReadOptions
from einthoven.formats.xml_record import (
    age_at,
    age_in_years,
    base64_bytes,
    lead_names,
    number,
    numbers,
    stored_lead,
)
from einthoven.formats.xml_text import child_text, read_xml, sniff_root, tidy


def parse(content, root="RestingECG", name="e.xml"):
    return read_xml(MemoryFiles(name, {name: content}), root)


def sniffed(content):
    return sniff_root(MemoryFiles("e.xml", {"e.xml": content}))


PLAIN = "<RestingECG><a>ä 1</a></RestingECG>"
DECLARED = '<?xml version="1.0" encoding="{}"?>\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1", "iso-8859-1", "windows-1252"])
def test_the_declared_encoding_is_obeyed(encoding):
    content = (DECLARED.format(encoding) + PLAIN).encode(encoding)
    assert child_text(parse(content), "a") == "ä 1"
    assert sniffed(content) == "RestingECG"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_root_is_known_with_and_without_a_byte_order_mark(encoding):
    assert sniffed(PLAIN.encode(encoding)) == "RestingECG"


@pytest.mark.parametrize(
    "before",
    [
        "",
        "\n\n  ",
        "<!-- <AnnotatedECG> is elsewhere -->",
        "<?xml-stylesheet href='x'?><!-- a --><!-- b -->\n",
        '<!DOCTYPE RestingECG SYSTEM "restecg.dtd">',
        "<!DOCTYPE RestingECG [<!ELEMENT a ANY>]>",
        "<!--" + "x" * 9000 + "-->",
    ],
)
def test_a_root_is_known_behind_comments_and_document_types(before):
    assert sniffed((before + PLAIN).encode()) == "RestingECG"


@pytest.mark.parametrize(
    ("content", "root"),
    [
        (b'<x:AnnotatedECG xmlns:x="urn:hl7-org:v3">', "AnnotatedECG"),
        (b"<restingecgdata\n a='1'>", "restingecgdata"),
        (b"", ""),
        (b"I,II\n1,2\n", ""),
        (b"<", ""),
        (b"<!-- open", ""),
        (b"\xff\xfe", ""),
        (b"\0\1\2<RestingECG>", ""),
    ],
)
def test_sniffing_never_raises(content, root):
    assert sniffed(content) == root


def test_names_lose_their_namespace():
    root = parse(b'<e:RestingECG xmlns:e="u" xmlns:x="v"><e:a x:type="T"/></e:RestingECG>')
    assert (root.tag, root.find("a").get("type")) == ("RestingECG", "T")


def test_a_document_type_that_names_a_file_is_not_fetched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "restecg.dtd").write_text("<!ENTITY a 'evil'>")
    content = b'<!DOCTYPE RestingECG SYSTEM "restecg.dtd"><RestingECG>%s</RestingECG>'
    assert parse(content % b"ok").text == "ok"
    with pytest.raises(RecordError, match=r"no well-formed XML: undefined entity &a;"):
        parse(content % b"&a;")


def laughs(open_tag):
    entities = "".join(f'<!ENTITY l{k} "{f"&l{k - 1};" * 10}">' for k in range(1, 10))
    return f'<!DOCTYPE {open_tag} [<!ENTITY l0 "lol">{entities}]><{open_tag}>&l9;</{open_tag}>'.encode()


ENTITIES = {
    "laughs": laughs("RestingECG"),
    "file": b'<!DOCTYPE RestingECG [<!ENTITY f SYSTEM "file:///etc/hostname">]><RestingECG>&f;</RestingECG>',
    "web": b'<!DOCTYPE RestingECG [<!ENTITY f SYSTEM "http://127.0.0.1:9/">]><RestingECG>&f;</RestingECG>',
    "parameter": b'<!DOCTYPE RestingECG [<!ENTITY % p SYSTEM "file:///etc/hostname">%p;]><RestingECG/>',
    "unparsed": b'<!DOCTYPE RestingECG [<!NOTATION n SYSTEM "n"><!ENTITY u SYSTEM "u" NDATA n>]><RestingECG/>',
    "long": b'<!DOCTYPE RestingECG [<!ENTITY a "' + b"x" * 100_000 + b'">]><RestingECG>&a;&a;</RestingECG>',
}


@pytest.mark.parametrize("kind", ENTITIES)
def test_entities_are_refused_by_every_xml_reader(kind):
    for root in ("RestingECG", "AnnotatedECG", "restingecgdata"):
        content = ENTITIES[kind].replace(b"RestingECG", root.encode())
        with pytest.raises(RecordError, match=r"bomb\.xml: its document type declares entities"):
            read_record(MemoryFiles("bomb.xml", {"bomb.xml": content}))


# Functions, so that no bomb stays in memory.
BOMBS = {
    "nesting": (lambda: b"<RestingECG>" + b"<a>" * 1_000_000, "nested deeper than 100"),
    "whitespace": (lambda: b"<RestingECG>" + b" " * 100_000_000, "larger than 32 MB"),
    "attributes": (lambda: b"<RestingECG " + b'a="" ' * 20_000_000, "larger than 32 MB"),
    "one tag": (
        lambda: b"<RestingECG " + b"".join(b'a%d="" ' % k for k in range(2_000_000)),
        "a tag or comment is longer",
    ),
    "many attributes": (lambda: b"<RestingECG>" + b'<a b="" c="" d=""/>' * 1_000_000, "more than 100000 elements"),
    "wide": (lambda: b"<RestingECG>" + b"<a/>" * 1_000_000, "more than 100000 elements"),
    "crowded": (
        lambda: b"<RestingECG>" + (b"<a " + b"".join(b'a%d="" ' % k for k in range(2300)) + b"/>") * 90,
        "200000 attributes",
    ),
    "comment": (lambda: b"<RestingECG><!--" + b"x" * 20_000_000, "a tag or comment is longer than 1 MB"),
    "defaults": (
        lambda: (
            b'<!DOCTYPE RestingECG [<!ATTLIST a b CDATA "' + b"x" * 900_000 + b'">]><RestingECG>' + b"<a/>" * 100_000
        ),
        "its document type declares attributes",
    ),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_are_refused_quickly_and_in_little_memory(kind):
    build, message = BOMBS[kind]
    content = build()
    began = time.process_time()
    with pytest.raises(RecordError, match=message):
        parse(content)
    assert time.process_time() - began < 2
    assert_record_or_error(MemoryFiles("e.xml", {"e.xml": content}))


def test_a_file_of_gigabytes_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "e.xml").open("wb") as file:
        file.write(b"<RestingECG>")
        file.truncate(8 << 30)  # sparse
    tracemalloc.start()
    with pytest.raises(RecordError, match="larger than 32 MB"):
        read_record(tmp_path / "e.xml")
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"e\.xml: the file is empty"),
        (b" \n ", "the file is empty"),
        (b"<RestingECG><a>", r"the XML ends too early, in line 1; copy it again"),
        (b"<RestingECG>\n<a", "the XML ends too early, in line 2"),
        (b"<RestingECG><![CDATA[abc", "the XML ends too early"),
        (b"<RestingECG><a></b></RestingECG>", "no well-formed XML: mismatched tag"),
        (b"<RestingECG>\0</RestingECG>", "no well-formed XML"),
        (b"<RestingECG/><RestingECG/>", "no well-formed XML: junk after"),
        (b'<?xml version="1.0" encoding="utf-16"?><RestingECG/>', "no well-formed XML: encoding specified"),
        (b'<?xml version="1.0" encoding="nonsense"?><RestingECG/>', "the encoding that the XML declares"),
        (b'<?xml version="1.0" encoding="utf-7"?><RestingECG/>', "the encoding that the XML declares"),
        (b"<note>hello</note>", r"the root element is <note>; Einthoven reads <AnnotatedECG> of HL7 aECG; <resting"),
    ],
)
def test_what_is_no_ecg_is_refused_in_one_sentence(content, message):
    with pytest.raises(RecordError, match=message):
        parse(content)
    with pytest.raises(RecordError, match=message):
        read_record(MemoryFiles("e.xml", {"e.xml": content}))


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(RecordError, match=r"nowhere\.xml: cannot be read"):
        read_record(tmp_path / "nowhere.xml")
    with pytest.raises(RecordError, match="missing from the upload"):
        read_record(MemoryFiles("e.xml", {}))


def test_without_defusedxml_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "defusedxml", None)
    with pytest.raises(MissingExtraError, match=r"reading XML needs optional packages: .*einthoven\[formats\]"):
        parse(PLAIN.encode())


def test_importing_the_formats_loads_no_xml_package():
    code = "import sys, einthoven.formats; print({'defusedxml', 'xml.etree.ElementTree'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_text_is_tidied():
    assert (tidy(" a\n\t b "), tidy(None)) == ("a b", "")


@pytest.mark.parametrize(("text", "value"), [("1", 1), (" -2.5e3 ", -2500), (".5", 0.5), ("5.", 5), ("+1", 1)])
def test_numbers_are_read(text, value):
    assert number(text) == value


@pytest.mark.parametrize("text", [None, "", "x", "1_0", "nan", "inf", "1e999", "0x1", "1,5", "٣", "1 2", "1" * 500])
def test_what_is_no_number_is_none(text):
    assert number(text) is None


def test_lists_of_numbers_are_read_whole_or_not_at_all():
    assert numbers(" 1 -2\n3.5\t4e1 ", "x").tolist() == [1, -2, 3.5, 40]
    assert numbers(" \n", "x").size == 0
    for text in ("1 x", "1,2", "1 2-3", "1 2 nan", "1 ٣", "1 2 é", "1 0x5", "1e999"):
        with pytest.raises(RecordError, match="lead I are not all numbers separated by spaces"):
            numbers(text, "lead I")


@pytest.mark.parametrize("text", ["AAA", "A*==", "é", "AA=A"])
def test_what_is_no_base64_is_named(text):
    with pytest.raises(RecordError, match="lead I are not valid Base64"):
        base64_bytes(text, "lead I")
    assert base64_bytes(" A\n A A\tA", "x") == b"\0\0\0"


@pytest.mark.parametrize(
    ("text", "unit", "years"),
    [("40", "YEARS", 40), ("40", "", 40), ("6", "MONTHS", 0.5), ("6", "mo", 0.5), ("1461", "days", 4), ("0", "a", 0)],
)
def test_ages_have_units(text, unit, years):
    assert age_in_years(text, unit) == (years, ())
    assert age_in_years("", unit) == (None, ())


@pytest.mark.parametrize(("text", "unit"), [("999", ""), ("-1", "a"), ("abc", "YEARS"), ("40", "moons"), ("5", "s")])
def test_absurd_ages_are_left_out_with_a_note(text, unit):
    age, notes = age_in_years(text, unit)
    assert age is None
    assert "is not one that people reach" in notes[0]


@pytest.mark.parametrize(
    ("birth", "when", "age"),
    [
        ("1980-06-10", "2020-06-09", 39),
        ("06-10-1980", "06-10-2020", 40),
        ("19800610120000", "20200611", 40),
        ("", "20200611", None),
        ("19801399", "20200611", None),
        ("20300101", "20200611", None),
        ("17000101", "20200611", None),
    ],
)
def test_ages_follow_from_dates(birth, when, age):
    assert age_at(birth, when) == age


def test_stated_names_go_before_those_of_the_file():
    assert lead_names(["a", "b"], ReadOptions(leads=("I", "V1")), "e") == ("I", "V1")
    assert lead_names(["a", "b"], ReadOptions(), "e") == ("a", "b")


@pytest.mark.parametrize("wrong", [["I"], ["I", "II", "III"]])
def test_stated_names_must_be_as_many_as_the_signals(wrong):
    with pytest.raises(RecordError, match=f"{len(wrong)} lead names were stated for 2 signals"):
        lead_names(["I", "II"], ReadOptions(leads=tuple(wrong)), "e")


def test_signals_beyond_number_are_refused():
    with pytest.raises(RecordError, match="e: has 257 signals; an ECG has at most 256"):
        lead_names([f"Z{k}" for k in range(257)], ReadOptions(), "e")


def test_an_inverted_lead_is_not_taken_for_its_opposite():
    with pytest.raises(RecordError, match="e: lead -aVR is stored inverted"):
        stored_lead(" -aVR", "e")
    assert stored_lead("avr", "e") == "aVR"


@given(content=st.binary(max_size=200), root=st.sampled_from(["RestingECG", "AnnotatedECG", "restingecgdata"]))
@QUICK
def test_arbitrary_bytes_in_a_root_give_a_record_or_an_error(content, root):
    xml = f"<{root}>".encode() + content + f"</{root}>".encode()
    assert_record_or_error(MemoryFiles("e.xml", {"e.xml": xml}))


@given(text=st.text(alphabet="<>/!-[]?&;\"'= aRestingECGDOCTYPE%ENTIT", max_size=120))
@QUICK
def test_arbitrary_markup_gives_a_record_or_an_error(text):
    assert_record_or_error(MemoryFiles("e.xml", {"e.xml": b"<" + text.encode()}), fs=100)
