package trust

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// fingerprintKind begins every fingerprint that OpenSSH prints.
const fingerprintKind = "SHA256:"

// CheckPins finds fingerprints of --host-key that can't be any key's.
func CheckPins(texts []string) error {
	_, err := parsePins(texts)
	return err
}

// parsePins checks the fingerprints of --host-key.
func parsePins(texts []string) ([]string, error) {
	pins := make([]string, 0, len(texts))
	for _, text := range texts {
		pin := strings.TrimRight(strings.TrimSpace(text), "=")
		sum, err := base64.RawStdEncoding.DecodeString(strings.TrimPrefix(pin, fingerprintKind))
		if err != nil || len(sum) != sha256.Size || !strings.HasPrefix(pin, fingerprintKind) {
			return nil, fmt.Errorf("host key %q is no SHA-256 fingerprint: it looks like "+
				"SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8, as the relay prints it", text)
		}
		pins = append(pins, pin)
	}
	return pins, nil
}

func checkPins(pins []string, offered Offered) error {
	if slices.Contains(pins, offered.Fingerprint) {
		return nil
	}
	return &PinError{Offered: offered, Pinned: slices.Clone(pins)}
}
