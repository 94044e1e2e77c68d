"""The mark that a picture which is no photograph carries in its file.

It is IPTC's Digital Source Type in an XMP packet, which the other tools that mark theirs write too,
so that it stays with a file wherever it is copied to and whatever folder it is read from.
"""

from __future__ import annotations

import re
import struct
import zlib

RENDERED = "algorithmicMedia"
COMPOSED = "compositeSynthetic"
EDITED = "compositeWithTrainedAlgorithmicMedia"
GENERATED = "trainedAlgorithmicMedia"
VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Signature, then the header: length, name, 13 bytes, checksum.
HEADER_END = 8 + 4 + 4 + 13 + 4
KNOWN = "|".join((RENDERED, COMPOSED, EDITED, GENERATED))
MARK = re.compile(rf"digitalsourcetype/({KNOWN})\b".encode())
PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'Iptc4xmpExt:DigitalSourceType="{address}"/>'
    '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)


def mark_png(png: bytes, source: str) -> bytes:
    """Put the mark into a PNG file; its pixels stay as they are.

    Args:
        png: The whole file.
        source: ``RENDERED``, ``COMPOSED`` (of photographs), ``EDITED`` (in part by a trained
            model) or ``GENERATED`` (by one).
    """
    packet = PACKET.format(address=VOCABULARY + source).encode()
    body = b"iTXt" + b"XML:com.adobe.xmp\0\0\0\0\0" + packet
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:HEADER_END] + chunk + png[HEADER_END:]


def find_mark(data: bytes) -> str | None:
    """Return the source that a picture file of any format is marked with, ``None`` without one."""
    found = MARK.search(data)
    return None if found is None else found[1].decode()
