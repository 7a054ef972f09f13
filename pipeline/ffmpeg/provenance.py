"""What a finished video says of itself: that it was generated. Two places, since tools read one or the other.

The tag ``comment`` is shown by players and by ``ffprobe -show_format``. The XMP packet carries IPTC's
digital source type, which platforms read to label what they show. Both are the same in every file.
"""

from __future__ import annotations

import uuid
from pathlib import Path

#: For ffmpeg, where it writes a finished MP4.
TAG = ("-metadata", "comment=AI-generated")
#: XMP Specification, part 3, 1.1.4 (MPEG-4): the box's type.
_XMP = uuid.UUID("be7acfcb-97a9-42e8-9c71-999491e3afac")
#: IPTC NewsCodes: elements of a real recording together with such as an algorithm has made.
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 Iptc4xmpExt:DigitalSourceType="{_SOURCE_TYPE}"/>
</rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


def declare(path: Path) -> None:
    """Append the XMP packet to a finished MP4, as a box that players pass over."""
    content = _XMP.bytes + _PACKET.encode()
    with path.open("ab") as file:
        file.write((8 + len(content)).to_bytes(4, "big") + b"uuid" + content)
