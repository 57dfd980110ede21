package access

import (
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// line is what a line of the file says before its options are understood.
type line struct {
	options string
	key     ssh.PublicKey
	comment string
}

var (
	errLineLong = fmt.Errorf("the line is longer than %d bytes", maxLine)
	errNoKey    = errors.New("there is no key: want options if any, the key's type, the key, a comment")

	errNoKeyOrQuote = errors.New("no key follows the options: it or a closing quote is missing")
)

// trimLine takes off what surrounds a line's content, and everything if the
// line is a comment.
func trimLine(text string) string {
	text = strings.Trim(strings.TrimSuffix(text, "\r"), " \t")
	if strings.HasPrefix(text, "#") {
		return ""
	}
	return text
}

// parseLine reads a line that isn't empty and isn't a comment. The key is
// there unless err says why it isn't.
func parseLine(text string) (line, error) {
	if len(text) > maxLine {
		return line{}, errLineLong
	}
	var l line
	first, rest := cutField(text)
	if !isKeyType(first) {
		l.options, rest = cutOptions(text)
		first, rest = cutField(rest)
	}
	switch {
	case first == "" && strings.Contains(l.options, `"`):
		return line{}, errNoKeyOrQuote
	case first == "":
		return line{}, errNoKey
	}
	var encoded string
	encoded, l.comment = cutField(rest)
	var err error
	l.key, err = decodeKey(first, encoded)
	return l, err
}

// cutField takes the first field off text, up to a space or tab.
func cutField(text string) (field, rest string) {
	end := strings.IndexAny(text, " \t")
	if end < 0 {
		return text, ""
	}
	return text[:end], strings.Trim(text[end:], " \t")
}

// cutOptions takes the options off the front of text: they end at the first
// space or tab outside quotes.
func cutOptions(text string) (options, rest string) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text) && text[i+1] == '"':
			i++
		case c == '"':
			quoted = !quoted
		case (c == ' ' || c == '\t') && !quoted:
			return text[:i], strings.Trim(text[i:], " \t")
		}
	}
	return text, ""
}

// isKeyType says whether a field is a key's type, also one that isn't
// supported, and no option: no option starts like this.
func isKeyType(field string) bool {
	for _, prefix := range []string{"ssh-", "ecdsa-sha2-", "sk-", "rsa-sha2-"} {
		if strings.HasPrefix(field, prefix) {
			return true
		}
	}
	return false
}

// decodeKey reads a key from its type and its base64 text, and refuses those
// that nobody may log in with.
func decodeKey(keyType, encoded string) (ssh.PublicKey, error) {
	switch {
	case !isKeyType(keyType):
		return nil, fmt.Errorf("%s is not a key type: want one as in ssh-ed25519", quote(keyType))
	case strings.Contains(keyType, "-cert-v"):
		return nil, fmt.Errorf("%s is a certificate: name the key that signed it, with cert-authority in front or in the user CA keys, or the key itself", keyType)
	case encoded == "":
		return nil, fmt.Errorf("nothing follows the key type %s: the key is cut off", quote(keyType))
	}
	blob, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("the key after %s is damaged or cut off: it is not base64 as a whole", quote(keyType))
	}
	key, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return nil, fmt.Errorf("the key after %s is damaged or cut off, or of a type that is not supported: %w", quote(keyType), err)
	}
	if key.Type() != keyType {
		return nil, fmt.Errorf("the key is of type %s, but %s stands in front of it", quote(key.Type()), quote(keyType))
	}
	return key, checkStrength(key)
}

// typeDSA is spelled out here as the library's name for it is deprecated.
const typeDSA = "ssh-dss"

// checkStrength refuses keys that can be forged.
func checkStrength(key ssh.PublicKey) error {
	if key.Type() == typeDSA {
		return errors.New("DSA keys are too weak: use an ed25519 key")
	}
	if outer, ok := key.(ssh.CryptoPublicKey); ok {
		if inner, ok := outer.CryptoPublicKey().(*rsa.PublicKey); ok && inner.N.BitLen() < minRSA {
			return fmt.Errorf("an RSA key of %d bits is too weak, at least %d are wanted: use an ed25519 key", inner.N.BitLen(), minRSA)
		}
	}
	return nil
}
