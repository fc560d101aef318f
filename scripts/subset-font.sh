#!/bin/sh
# Make the two weights of the theme's typeface: sitegen/media/fonts/letters-*.woff2, with all its
# letters, for drawings, clips and cards; static/text-*.woff2, with those of a page in English, which
# every page loads; and static/more-*.woff2, with the others.
# Needs pyftsubset with brotli (`pip install fonttools brotli`) and the folder of Source Sans 3's
# OpenType files, as Debian's fonts-adobe-sourcesans3 has them:
#
#     sh scripts/subset-font.sh /usr/share/fonts/opentype/sourcesans3
#
# The font's licence reserves the name "Source" for the original, so the subset has another name.
set -eu
source=$1
latin="U+0020-007E,U+00A0-017F,U+2010-2014,U+2018-201E,U+2020-2022,U+2026,U+2032"
greek="U+0393,U+0394,U+0398,U+039B,U+039E,U+03A0,U+03A3,U+03A6,U+03A8,U+03A9,U+03B1-03C1,U+03C3-03C9"
maths="U+2260,U+25C6,U+2070,U+2074-207B,U+2080-208B,U+2190-2193,U+2197,U+2202,U+2206,U+2212,U+221E,U+2248,U+2264,U+2265"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
for pair in 400:Regular 600:Semibold; do
    weight=${pair%:*}
    pyftsubset "$source/SourceSans3-${pair#*:}.otf" --unicodes="$latin,$greek,$maths" \
        --layout-features=kern,tnum --no-hinting --desubroutinize --notdef-outline \
        --name-IDs=0,1,2,3,4,6,13,14 --output-file="$work/$weight.otf"
    python3 - "$work/$weight.otf" "$work/$weight.woff2" "$weight" <<'PYTHON'
import sys
from fontTools.ttLib import TTFont

source, target, weight = sys.argv[1:]
font = TTFont(source, recalcTimestamp=False)
names = {1: "Sitegen Text", 2: weight, 3: f"Sitegen Text {weight}", 4: f"Sitegen Text {weight}"}
for record in font["name"].names:
    text = {**names, 6: f"SitegenText-{weight}"}.get(record.nameID)
    if text:
        record.string = text
cff = font["CFF "].cff
cff.fontNames = [f"SitegenText-{weight}"]
cff.topDictIndex[0].FullName = names[4]
cff.topDictIndex[0].FamilyName = names[1]
font.flavor = "woff2"
font.save(target)
PYTHON
done

# English, Greek and mathematics as in drawings, and the signs of the page itself. The unicode-range in
# static/style.css has the others.
english="U+0020-007E,U+00A0,U+00A9,U+00B1-00B3,U+00B7,U+00B9,U+00D7,U+0394,U+03B1,U+03B2,U+03B4,U+03C3"
english="$english,U+2013,U+2014,U+2018,U+2019,U+201C,U+201D,U+2022,U+2026,U+2070,U+2074-2079,U+207B"
english="$english,U+2190-2193,U+2197,U+2202,U+2212,U+221E,U+2248,U+2260,U+2264,U+2265,U+25C6"
others="U+A1-A8,U+AA-B0,U+B4-B6,U+B8,U+BA-D6,U+D8-17F,U+393,U+398-3A9,U+3B3,U+3B5-3C1,U+3C4-3C9"
others="$others,U+2010-2012,U+201A-201B,U+201E-2021,U+2032,U+207A,U+2080-208B,U+2206"
cut() {
    pyftsubset "$work/$weight.woff2" --unicodes="$1" --layout-features="$2" --no-hinting \
        --desubroutinize --notdef-outline --flavor=woff2 --output-file="$3-$weight.woff2"
}
for weight in 400 600; do
    cut "*" tnum sitegen/media/fonts/letters
    cut "$english" kern,tnum static/text
    cut "$others" tnum static/more
done
