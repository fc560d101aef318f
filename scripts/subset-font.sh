#!/bin/sh
# Make the two weights of the theme's typeface, static/text-400.woff2 and static/text-600.woff2, and
# those of the words in drawings and clips, sitegen/media/fonts/drawing-400.woff2 and -600.woff2.
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
    python3 - "$work/$weight.otf" "static/text-$weight.woff2" "$weight" <<'PYTHON'
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

# The words of drawings and clips need fewer letters; a drawing carries its typeface in itself.
words="U+0020-007E,U+00B1-00B3,U+00B9,U+00D7,U+0394,U+03B1,U+03B2,U+03B4,U+03C3,U+2013,U+2014"
words="$words,U+2018,U+2019,U+201C,U+201D,U+2026,U+2070,U+2074-2079,U+207B,U+2202,U+2212,U+2260,U+25C6"
for weight in 400 600; do
    pyftsubset "static/text-$weight.woff2" --unicodes="$words" --layout-features=tnum --no-hinting \
        --desubroutinize --flavor=woff2 --output-file="sitegen/media/fonts/drawing-$weight.woff2"
done
