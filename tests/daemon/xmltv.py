"""Reads XMLTV from standard input, holds it against the XMLTV project's own xmltv.dtd, and writes what it found as
JSON. Fails with a sentence where it is not valid."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as tree

DTD = "/usr/share/sgml/xmltv/dtd/0.5/xmltv.dtd"

written = sys.stdin.buffer.read()
judged = subprocess.run(
    ["xmllint", "--noout", "--nonet", "--dtdvalid", DTD, "-"], input=written, capture_output=True, check=False
)
assert judged.returncode == 0, judged.stderr.decode()
root = tree.fromstring(written)
assert root.tag == "tv", root.tag
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
