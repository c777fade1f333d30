#!/usr/bin/env python3
"""Writes glyphs.txt from a TrueType font: make_glyphs.py Arimo_400Regular.ttf > glyphs.txt

A line a character: its code point in hexadecimal, how far it advances, and its outline as SVG path data
(relative, y upwards), both in thousandths of the font's size. Needs fonttools (4.x).
"""

import sys

from fontTools.pens.basePen import decomposeQuadraticSegment
from fontTools.pens.recordingPen import DecomposingRecordingPen
from fontTools.ttLib import TTFont

RANGES = [
    (0x20, 0x7E),  # ASCII
    (0xA0, 0x17F),  # Latin-1, Latin Extended-A
    (0x391, 0x3C9),  # Greek
    (0x2010, 0x2027),  # dashes, quotes, bullets, ellipsis
    (0x2030, 0x203A),
    (0x2070, 0x208E),  # superscripts and subscripts
    (0x2190, 0x2195),  # arrows
    (0x2200, 0x2265),  # mathematical signs
]
UNITS = 1000


def outline(glyphs, name, scale):
    pen = DecomposingRecordingPen(glyphs)
    glyphs[name].draw(pen)
    parts, here, start = [], (0, 0), (0, 0)

    def part(letter, *points):
        nonlocal here
        points = [(round(x * scale), round(y * scale)) for x, y in points]
        numbers = " ".join(f"{x - here[0]} {y - here[1]}" for x, y in points)
        parts.append(f"{letter}{numbers}".replace(" -", "-"))
        here = points[-1]

    for verb, points in pen.value:
        if verb == "moveTo":
            part("m", *points)
            start = here
        elif verb == "lineTo":
            part("l", *points)
        elif verb == "qCurveTo":
            assert points[-1] is not None, name
            for curve in decomposeQuadraticSegment(points):
                part("q", *curve)
        elif verb == "closePath":
            parts.append("z")
            here = start
        else:
            raise SystemExit(f"{name}: {verb}")
    return "".join(parts)


def main():
    font = TTFont(sys.argv[1])
    names, glyphs, scale = font.getBestCmap(), font.getGlyphSet(), UNITS / font["head"].unitsPerEm
    for first, last in RANGES:
        for code in range(first, last + 1):
            if name := names.get(code):
                line = f"{code:x} {round(glyphs[name].width * scale)} {outline(glyphs, name, scale)}"
                print(line.rstrip())


main()
