package access

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"golang.org/x/crypto/ssh"
)

// What a KRL is made of (OpenSSH's PROTOCOL.krl).
const (
	krlMagic   = "SSHKRL\n\x00"
	krlVersion = 1

	krlCertificates = 1
	krlKeys         = 2
	krlSHA1         = 3
	krlSignature    = 4
	krlSHA256       = 5
	krlExtension    = 255

	krlSerials   = 0x20
	krlRange     = 0x21
	krlBitmap    = 0x22
	krlKeyIDs    = 0x23
	krlCertExtra = 0x39
)

var errKRLShort = errors.New("the KRL is cut off")

// issuer is what is revoked of an authority's certificates.
type issuer struct {
	authority string // in wire form; "" is every authority
	serials   map[uint64]bool
	ranges    []serialRange
	bitmaps   []serialBitmap
	ids       map[string]bool
}

type serialRange struct{ first, last uint64 }

// serialBitmap revokes base+i for each bit i that is set.
type serialBitmap struct {
	base uint64
	bits *big.Int
}

// find is why a certificate is revoked, "" if it isn't. Number 0 means that the
// authority numbers none, so it revokes none.
func (i *issuer) find(c *ssh.Certificate) string {
	if i.ids[c.KeyId] {
		return "its certificate's identity " + quote(c.KeyId) + " is revoked"
	}
	if c.Serial == 0 {
		return ""
	}
	revoked := i.serials[c.Serial] ||
		slices.ContainsFunc(i.ranges, func(r serialRange) bool { return r.first <= c.Serial && c.Serial <= r.last }) ||
		slices.ContainsFunc(i.bitmaps, func(b serialBitmap) bool { return b.has(c.Serial) })
	if revoked {
		return fmt.Sprintf("its certificate's serial number %d is revoked", c.Serial)
	}
	return ""
}

func (b serialBitmap) has(serial uint64) bool {
	if serial < b.base || serial-b.base >= uint64(b.bits.BitLen()) { // #nosec G115 -- a length
		return false
	}
	return b.bits.Bit(int(serial-b.base)) == 1 // #nosec G115 -- below a length
}

// parseKRL reads a KRL. What it doesn't understand is an error, so that no
// revocation gets lost: signatures too, which ssh-keygen no longer makes.
func parseKRL(data []byte) (*revocations, error) {
	c := krlCursor{data: data[len(krlMagic):]}
	version := c.uint32()
	c.take(3 * 8) // number, date, flags
	c.string()    // reserved
	c.string()    // comment
	if c.err == nil && version != krlVersion {
		return nil, fmt.Errorf("the KRL is of version %d: want %d", version, krlVersion)
	}
	r := &revocations{keys: make(map[string]bool), sha1: make(map[string]bool), sha256: make(map[string]bool)}
	for c.err == nil && len(c.data) > 0 {
		kind := c.byte()
		section := krlCursor{data: c.string()}
		if c.err != nil {
			break
		}
		if err := r.section(kind, &section); err != nil {
			return nil, err
		}
	}
	if c.err != nil {
		return nil, c.err
	}
	return r, nil
}

func (r *revocations) section(kind byte, c *krlCursor) error {
	switch kind {
	case krlCertificates:
		return r.certificates(c)
	case krlKeys:
		for c.more() {
			key, err := ssh.ParsePublicKey(c.string())
			if c.err == nil && err != nil {
				return fmt.Errorf("a key of the KRL is not understood: %w", err)
			}
			if c.err == nil {
				r.keys[string(plainKey(key).Marshal())] = true
			}
		}
	case krlSHA1:
		c.hashes(20, r.sha1)
	case krlSHA256:
		c.hashes(32, r.sha256)
	case krlExtension:
		c.extension()
	case krlSignature:
		return errors.New("the KRL is signed, which is not supported: make it without")
	default:
		return fmt.Errorf("the KRL has a section of an unknown kind, %d", kind)
	}
	return c.err
}

// certificates reads what is revoked of an authority's certificates.
func (r *revocations) certificates(c *krlCursor) error {
	i := issuer{authority: string(c.string()), serials: make(map[uint64]bool), ids: make(map[string]bool)}
	c.string() // reserved
	for c.more() {
		kind := c.byte()
		s := krlCursor{data: c.string()}
		if c.err != nil {
			break
		}
		switch kind {
		case krlSerials:
			for s.more() {
				i.serials[s.uint64()] = true
			}
		case krlRange:
			i.ranges = append(i.ranges, serialRange{s.uint64(), s.uint64()})
		case krlBitmap:
			base, bits := s.uint64(), s.string()
			if len(bits) > maxBitmap || len(bits) > 0 && bits[0]&0x80 != 0 {
				return errors.New("the KRL has a bitmap that is too long or negative")
			}
			i.bitmaps = append(i.bitmaps, serialBitmap{base, new(big.Int).SetBytes(bits)})
		case krlKeyIDs:
			for s.more() {
				i.ids[string(s.string())] = true
			}
		case krlCertExtra:
			s.extension()
		default:
			return fmt.Errorf("the KRL revokes certificates in an unknown way, %d", kind)
		}
		if s.err == nil && len(s.data) > 0 {
			s.err = errors.New("the KRL has a section with something behind its end")
		}
		if s.err != nil {
			return s.err
		}
	}
	if c.err == nil {
		r.issuers = append(r.issuers, i)
	}
	return c.err
}

// krlCursor reads the types of RFC 4251 §5; its first error stays.
type krlCursor struct {
	data []byte
	err  error
}

func (c *krlCursor) more() bool { return c.err == nil && len(c.data) > 0 }

// take takes n bytes, which are zero after an error.
func (c *krlCursor) take(n uint32) []byte {
	if c.err != nil || uint64(n) > uint64(len(c.data)) {
		if c.err == nil {
			c.err = errKRLShort
		}
		if n > 8 {
			return nil
		}
		return make([]byte, n)
	}
	taken := c.data[:n]
	c.data = c.data[n:]
	return taken
}

func (c *krlCursor) byte() byte     { return c.take(1)[0] }
func (c *krlCursor) uint32() uint32 { return binary.BigEndian.Uint32(c.take(4)) }
func (c *krlCursor) uint64() uint64 { return binary.BigEndian.Uint64(c.take(8)) }
func (c *krlCursor) string() []byte { return c.take(c.uint32()) }

// hashes reads hashes of a length.
func (c *krlCursor) hashes(length int, into map[string]bool) {
	for c.more() {
		hash := c.string()
		if c.err == nil && len(hash) != length {
			c.err = fmt.Errorf("the KRL has a hash of %d bytes: want %d", len(hash), length)
		}
		into[string(hash)] = true
	}
}

// extension skips one that may be skipped.
func (c *krlCursor) extension() {
	name := c.string()
	critical := c.byte() != 0
	c.string()
	if c.err == nil && critical {
		c.err = fmt.Errorf("the KRL demands the extension %s, which is not known here", quote(string(name)))
	}
}
