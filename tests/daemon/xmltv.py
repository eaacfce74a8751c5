"""Reads XMLTV from standard input, holds it against the rules of the XMLTV project's xmltv.dtd for all elements that
a guide may have, and writes what it found as JSON. Fails with a sentence where it is not valid."""

import json
import re
import sys
import xml.etree.ElementTree as tree

# The content of each element, as in the DTD; "text" is #PCDATA.
CONTENT = {
    "tv": "channel* programme*",
    "channel": "display-name+ icon* url*",
    "programme": "title+ sub-title* desc* credits? date? category* keyword* language? orig-language? length? icon*"
    " url* country* episode-num* video? audio? previously-shown? premiere? last-chance? new? subtitles* rating*"
    " star-rating* review* image*",
    "rating": "value icon*",
    **dict.fromkeys(
        ["display-name", "title", "sub-title", "desc", "category", "keyword", "language", "episode-num", "value"],
        "text",
    ),
}
# The attributes that are needed, and those that may be there.
ATTRIBUTES = {
    "tv": ([], ["date", "generator-info-name", "generator-info-url"]),
    "channel": (["id"], []),
    "programme": (["start", "channel"], ["stop"]),
    "episode-num": ([], ["system"]),
    "rating": ([], ["system"]),
}


def check(element):
    name, content = element.tag, CONTENT.get(element.tag)
    assert content, f"<{name}> is not in the DTD, or not checked here"
    needed, allowed = ATTRIBUTES.get(name, ([], ["lang"]))
    given = set(element.attrib)
    assert set(needed) <= given <= set(needed + allowed), f"<{name}> has the attributes {given}"
    if content == "text":
        assert len(element) == 0, f"<{name}> holds elements"
        return
    assert not (element.text or "").strip(), f"<{name}> holds text"
    model = "".join(
        f"(?:{part.rstrip('*+?')} ){part[len(part.rstrip('*+?')):]}" for part in content.split()
    )
    children = "".join(child.tag + " " for child in element)
    assert re.fullmatch(model, children), f"<{name}> holds {children}; {content} is allowed"
    for child in element:
        assert not (child.tail or "").strip(), f"<{name}> holds text"
        check(child)


root = tree.fromstring(sys.stdin.buffer.read())
assert root.tag == "tv", root.tag
check(root)
ids = [channel.get("id") for channel in root.findall("channel")]
assert len(ids) == len(set(ids)), "an id is used twice"
programmes = []
for programme in root.findall("programme"):
    assert programme.get("channel") in ids, "a programme of no channel"
    for time in (programme.get("start"), programme.get("stop")):
        assert re.fullmatch(r"\d{14} [+-]\d{4}", time), time
    told = {child.tag: child.text for child in programme if child.tag not in ("episode-num", "rating", "keyword")}
    told.update({child.get("system"): child.text for child in programme.findall("episode-num")})
    told.update({"rating": child.findtext("value") for child in programme.findall("rating")})
    told["keywords"] = [child.text for child in programme.findall("keyword")]
    programmes.append({**programme.attrib, **told})
channels = [{"id": one.get("id"), "name": one.findtext("display-name")} for one in root.findall("channel")]
json.dump({"channels": channels, "programmes": programmes}, sys.stdout)
