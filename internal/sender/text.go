package sender

import (
	"errors"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// secrets match what looks like an IAM token, a JWT or a password in a URL, and the
// tokens in JSON, wherever a server or a library might repeat one.
var secrets = regexp.MustCompile(`(?i)(bearer\s+)[\w.~+/=\-]+|\bt1\.[\w.~+/=\-]{8,}|\beyJ[\w.=\-]{16,}|(://)[^/\s@"]+@|("(?:access_?|iam_?)token"\s*:\s*")[^"]*`)

// redact takes secrets out of text that came from elsewhere: known ones, and
// what looks like one.
func redact(text string, known ...string) string {
	for _, secret := range known {
		if len(secret) >= 6 { // a shorter one would be in the middle of words
			text = strings.ReplaceAll(text, secret, "[secret]")
		}
	}
	return secrets.ReplaceAllString(text, "${1}${2}${3}[secret]")
}

// redactError is err without secrets in its text. Where there were any it
// wraps nothing any more, so that they cannot be unwrapped either.
func redactError(err error, known ...string) error {
	text := err.Error()
	if clean := redact(text, known...); clean != text {
		return errors.New(clean)
	}
	return err
}

var tags = regexp.MustCompile(`(?is)<(script|style)\b.*?</(script|style)>|<[^>]*>`)

// excerpt makes one short line for people, without secrets, of text that came
// from elsewhere. limit is in bytes.
func excerpt(text string, limit int, known ...string) string {
	text = redact(strings.ToValidUTF8(text, "�"), known...)
	if strings.HasPrefix(strings.TrimSpace(text), "<") {
		text = tags.ReplaceAllString(text, " ")
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= limit {
		return text
	}
	for !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit] + "…"
}
