package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"time"
)

// The file of raw samples is one record per Series and nothing around them, so
// that files can be put together with cat. A record is
//
//	"FNLS" 1                     magic and version
//	length   uint32 big endian   of what follows up to the checksum
//	start    int64  big endian   Unix nanoseconds
//	rate     float64 big endian  messages a second
//	size     uvarint             bytes a message
//	samples  uvarint             how many, then of each, in nanoseconds:
//	  intended  varint           minus the one before's
//	  sent      uvarint          0 never, else 1 + sent - intended (0 if earlier)
//	  received  uvarint          0 lost, else 1 + received - intended
//	copies   uvarint             duplicates, then of each:
//	  number    uvarint          of the sample
//	  received  uvarint          after the series' start
//	checksum uint32 big endian   CRC-32 (IEEE) of the length and what it counts
//
// which is about 5 bytes a sample.
const (
	fileMagic   = "FNLS\x01"
	maxRecord   = 1 << 28 // 50 million samples: nothing real is larger
	leastSample = 3       // bytes
)

// ErrFormat is the error of a file that isn't one of samples, or is damaged.
var ErrFormat = errors.New("not a file of samples, or damaged")

// WriteSeries appends records.
func WriteSeries(w io.Writer, all ...Series) error {
	for i := range all {
		body := appendSeries(nil, &all[i])
		if len(body) > maxRecord {
			return fmt.Errorf("a series of %d samples is too long for a file", len(all[i].Samples))
		}
		record := binary.BigEndian.AppendUint32([]byte(fileMagic), uint32(len(body))) // #nosec G115 -- at most maxRecord
		record = append(record, body...)
		record = binary.BigEndian.AppendUint32(record, crc32.ChecksumIEEE(record[len(fileMagic):]))
		if _, err := w.Write(record); err != nil {
			return err
		}
	}
	return nil
}

func appendSeries(b []byte, s *Series) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(s.Start.UnixNano()))
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(s.Rate))
	b = binary.AppendUvarint(b, uint64(s.Size)) // #nosec G115 -- a length
	b = binary.AppendUvarint(b, uint64(len(s.Samples)))
	var before time.Duration
	since := func(t, intended time.Duration) uint64 {
		if t == 0 {
			return 0
		}
		return 1 + uint64(max(0, t-intended))
	}
	for _, sample := range s.Samples {
		b = binary.AppendVarint(b, int64(sample.Intended-before))
		b = binary.AppendUvarint(b, since(sample.Sent, sample.Intended))
		b = binary.AppendUvarint(b, since(sample.Received, sample.Intended))
		before = sample.Intended
	}
	b = binary.AppendUvarint(b, uint64(len(s.Duplicates)))
	for _, d := range s.Duplicates {
		b = binary.AppendUvarint(b, uint64(d.Number)) // #nosec G115 -- an index
		b = binary.AppendUvarint(b, uint64(max(0, d.Received)))
	}
	return b
}

// ReadSeries reads all records to the end. A damaged record is ErrFormat.
func ReadSeries(r io.Reader) ([]Series, error) {
	var all []Series
	for {
		var header [len(fileMagic) + 4]byte
		if _, err := io.ReadFull(r, header[:]); err == io.EOF {
			return all, nil
		} else if err != nil {
			return all, unexpected(err)
		}
		length := binary.BigEndian.Uint32(header[len(fileMagic):])
		if string(header[:len(fileMagic)]) != fileMagic || length > maxRecord {
			return all, ErrFormat
		}
		// Grows with what is there, not with what the length claims.
		record, err := io.ReadAll(io.LimitReader(r, int64(length)+4))
		if err != nil {
			return all, err
		}
		if len(record) != int(length)+4 {
			return all, ErrFormat
		}
		body, sum := record[:length], binary.BigEndian.Uint32(record[length:])
		if crc32.Update(crc32.ChecksumIEEE(header[len(fileMagic):]), crc32.IEEETable, body) != sum {
			return all, ErrFormat
		}
		series, err := parseSeries(body)
		if err != nil {
			return all, err
		}
		all = append(all, series)
	}
}

func unexpected(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrFormat
	}
	return err
}

// fields takes a record's numbers one after another; after the first that isn't
// there all are 0.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) uint64() uint64 {
	if len(f.b) < 8 {
		f.bad = true
		return 0
	}
	v := binary.BigEndian.Uint64(f.b)
	f.b = f.b[8:]
	return v
}

func (f *fields) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(f.b)
	if f.bad || n <= 0 || v > most {
		f.bad = true
		return 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fields) varint() int64 {
	v, n := binary.Varint(f.b)
	if f.bad || n <= 0 {
		f.bad = true
		return 0
	}
	f.b = f.b[n:]
	return v
}

// maxTime is the longest time in a file, a year: sums of two don't overflow.
const maxTime = uint64(365 * 24 * time.Hour)

func parseSeries(b []byte) (Series, error) {
	f := &fields{b: b}
	s := Series{
		Start: time.Unix(0, int64(f.uint64())), // #nosec G115 -- any time is one
		Rate:  math.Float64frombits(f.uint64()),
		Size:  int(f.uvarint(MaxSize)), // #nosec G115 -- bounded by the call
	}
	count := f.uvarint(uint64(len(f.b) / leastSample))
	s.Samples = make([]Sample, count)
	var intended time.Duration
	for i := range s.Samples {
		intended += time.Duration(f.varint())
		if intended < 0 || uint64(intended) > maxTime {
			return Series{}, ErrFormat
		}
		sample := Sample{Intended: intended}
		if sent := f.uvarint(maxTime); sent > 0 {
			sample.Sent = intended + time.Duration(sent-1) // #nosec G115 -- bounded above
		}
		if received := f.uvarint(maxTime); received > 0 {
			sample.Received = intended + time.Duration(received-1) // #nosec G115 -- bounded above
		}
		s.Samples[i] = sample
	}
	for range f.uvarint(uint64(len(f.b) / 2)) {
		d := Duplicate{Number: int(f.uvarint(maxRecord)), Received: time.Duration(f.uvarint(maxTime))} // #nosec G115 -- bounded by the calls
		if d.Number >= len(s.Samples) {
			return Series{}, ErrFormat
		}
		s.Duplicates = append(s.Duplicates, d)
	}
	if f.bad || len(f.b) > 0 {
		return Series{}, ErrFormat
	}
	return s, nil
}
