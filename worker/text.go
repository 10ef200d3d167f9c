package worker

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxErrorLength bounds an error text, in characters; the database cuts at the same length.
const maxErrorLength = 10_000

// cleanText replaces what a PostgreSQL text cannot hold: NUL and invalid UTF-8.
func cleanText(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// cutText cuts a text to at most size bytes, on a character's boundary.
func cutText(text string, size int) string {
	if len(text) <= size {
		return text
	}
	for size > 0 && !utf8.RuneStart(text[size]) {
		size--
	}
	return text[:size]
}

// shorten cuts a text to the length of an error.
func shorten(text string) string {
	if len(text) <= maxErrorLength {
		return text
	}
	count := 0
	for i := range text {
		if count == maxErrorLength {
			return text[:i]
		}
		count++
	}
	return text
}

func errorText(err error) string {
	return shorten(cleanText(err.Error()))
}

// cleanJSON replaces what jsonb cannot hold: NUL and lone surrogates by U+FFFD, numbers out of range by null.
// It says whether it changed anything.
func cleanJSON(raw []byte) ([]byte, bool, error) {
	if !suspicious(raw) {
		return raw, false, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, false, err
	}
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(cleanValue(value)); err != nil {
		return nil, false, err
	}
	return bytes.TrimSpace(buffer.Bytes()), true, nil
}

// suspicious is cheap and may be wrong only on the safe side: it looks for escapes of NUL and of surrogates,
// invalid UTF-8, and numbers with a long exponent or very many digits.
func suspicious(raw []byte) bool {
	if !utf8.Valid(raw) || bytes.Contains(raw, []byte(`\u0000`)) ||
		bytes.Contains(raw, []byte(`\ud`)) || bytes.Contains(raw, []byte(`\uD`)) {
		return true
	}
	digits, exponent := 0, false
	for _, b := range raw {
		switch {
		case b >= '0' && b <= '9':
			digits++
			if exponent && digits > 3 || digits > maxFractionDigits {
				return true
			}
		case b == 'e' || b == 'E':
			exponent, digits = digits > 0, 0
		case b == '.' || b == '+' || b == '-':
		default:
			exponent, digits = false, 0
		}
	}
	return false
}

func cleanValue(value any) any {
	switch v := value.(type) {
	case string:
		return cleanText(v)
	case json.Number:
		if !fitsNumeric(string(v)) {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = cleanValue(v[i])
		}
	case map[string]any:
		clean := make(map[string]any, len(v))
		for key, element := range v {
			clean[cleanText(key)] = cleanValue(element)
		}
		return clean
	}
	return value
}

// The bounds of PostgreSQL's numeric, in which jsonb keeps its numbers.
const (
	maxIntegerDigits  = 131_072
	maxFractionDigits = 16_383
)

func fitsNumeric(number string) bool {
	mantissa, exponentText, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(number, "-")), "e")
	exponent := 0
	if exponentText != "" {
		var err error
		if exponent, err = strconv.Atoi(exponentText); err != nil {
			return false
		}
	}
	integer, fraction, _ := strings.Cut(mantissa, ".")
	return exponent < maxIntegerDigits && exponent > -maxFractionDigits &&
		len(integer)+exponent <= maxIntegerDigits && len(fraction)-exponent <= maxFractionDigits
}
