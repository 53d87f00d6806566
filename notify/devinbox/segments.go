package devinbox

import (
	"fmt"
	"strings"
	"unicode/utf16"
)

// The default alphabet of GSM 03.38 and its extension, whose characters count
// twice. One character outside both turns the whole message into UCS-2.
const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmExtended = "^{}\\[~]|€\f"
)

// segments says what a text message costs: carriers bill each part.
func segments(text string) string {
	units, single, part, alphabet := 0, 160, 153, "GSM-7"
	for _, r := range text {
		switch {
		case strings.ContainsRune(gsmBasic, r):
			units++
		case strings.ContainsRune(gsmExtended, r):
			units += 2
		default:
			alphabet = "UCS-2"
		}
	}
	if alphabet == "UCS-2" {
		units, single, part = len(utf16.Encode([]rune(text))), 70, 67
	}
	if units <= single {
		return fmt.Sprintf("1 segment · %d of %d characters · %s", units, single, alphabet)
	}
	n := (units + part - 1) / part
	return fmt.Sprintf("%d segments · %d of %d characters · %s", n, units, n*part, alphabet)
}
