package quant

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// DecodeCalibration reads a calibration file's bytes. Nothing in them is believed: no count is used that the bytes left cannot hold.
func DecodeCalibration(data []byte) (*Calibration, error) {
	if len(data) < len(calibrationMagic)+sha256.Size || string(data[:len(calibrationMagic)]) != calibrationMagic {
		return nil, errors.New("it is not a calibration file of this version of ssmc")
	}
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if want := sha256.Sum256(body); !bytes.Equal(want[:], sum) {
		return nil, errors.New("its checksum is wrong: the file is damaged or was cut")
	}
	d := decoder{data: body, at: len(calibrationMagic)}
	c := d.calibration()
	if d.err == nil && d.at != len(body) {
		d.fail("%d bytes are left over", len(body)-d.at)
	}
	if d.err != nil {
		return nil, d.err
	}
	return c, nil
}

// decoder reads forward; after the first error everything it gives is zero.
type decoder struct {
	data []byte
	at   int
	err  error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("byte %d: %s", d.at, fmt.Sprintf(format, args...))
	}
}

// take gives the next n bytes; nil after an error.
func (d *decoder) take(n uint64) []byte {
	if d.err == nil && n > uint64(len(d.data)-d.at) {
		d.fail("%d bytes are wanted, %d are left", n, len(d.data)-d.at)
	}
	if d.err != nil {
		return nil
	}
	b := d.data[d.at : d.at+int(n)]
	d.at += int(n)
	return b
}

func (d *decoder) number() uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.data[d.at:])
	if n <= 0 || n > 1 && d.data[d.at+n-1] == 0 {
		d.fail("a number is damaged")
		return 0
	}
	d.at += n
	return v
}

// count is the length of a list whose items take at least size bytes each.
func (d *decoder) count(size int) int { return d.below(uint64(len(d.data)-d.at)/uint64(size) + 1) }

// below is a number under limit.
func (d *decoder) below(limit uint64) int {
	v := d.number()
	if v >= limit {
		d.fail("%d is too large a number here", v)
		return 0
	}
	return int(v)
}

func (d *decoder) text() string { return string(d.take(d.number())) }

func (d *decoder) f64() float64 {
	if b := d.take(8); b != nil {
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return 0
}

// magnitude is the bits of a finite float32 that is not negative.
func (d *decoder) magnitude() uint32 {
	b := d.take(4)
	if b == nil {
		return 0
	}
	v := binary.LittleEndian.Uint32(b)
	if v >= infBits {
		d.fail("a magnitude is negative or not finite")
		return 0
	}
	return v
}

// maxSamples bounds the numbers of samples.
const maxSamples = 1 << 40

func (d *decoder) calibration() *Calibration {
	c := NewCalibration()
	last := ""
	for i := range d.count(2) {
		k := d.text()
		if i > 0 && k <= last {
			d.fail("%.60q does not follow %.60q", k, last)
		}
		c.Meta[k], last = d.text(), k
	}
	c.Samples = d.below(maxSamples)
	last = ""
	for i := range d.count(13) {
		name := d.text()
		if i > 0 && name <= last {
			d.fail("%.60q does not follow %.60q", name, last)
		}
		c.Tensors[name], last = d.tensor(), name
		if d.err != nil {
			break
		}
	}
	return c
}

func (d *decoder) tensor() *Stats {
	s := &Stats{open: map[int]*sample{}}
	s.keep.Channels = d.below(1 << 31)
	flags := d.number()
	s.hist.n, s.nan, s.inf = d.number(), d.number(), d.number()
	s.firstBad = d.below(maxSamples) - 1
	s.hist.max = d.magnitude()
	d.bins(&s.hist)
	if flags > hasMaxima|hasMeans || flags == hasMeans || (s.keep.Channels > 0) != (flags != 0) {
		d.fail("flags %d do not belong to %d channels", flags, s.keep.Channels)
	}
	if (s.nan|s.inf > 0) != (s.firstBad >= 0) {
		d.fail("the count of values that are not finite and the sample of the first disagree")
	}
	if flags&hasMaxima != 0 {
		s.channelMax = d.magnitudes(s.keep.Channels)
	}
	if flags&hasMeans != 0 {
		s.keep.Means = true
		for _, b := range d.magnitudes(s.keep.Channels) {
			s.channelMean = append(s.channelMean, math.Float32frombits(b))
		}
	}
	for range d.count(22) {
		d.average(s)
	}
	return s
}

func (d *decoder) magnitudes(n int) []uint32 {
	if d.err == nil && n > (len(d.data)-d.at)/4 {
		d.fail("%d channels are more than the file has", n)
	}
	if d.err != nil {
		return nil
	}
	list := make([]uint32, n)
	for i := range list {
		list[i] = d.magnitude()
	}
	return list
}

// bins reads a histogram's, and proves that count and largest value are theirs.
func (d *decoder) bins(h *Histogram) {
	index, total := 0, uint64(0)
	n := d.count(2)
	for i := range n {
		index += d.below(bins)
		b := Bin{index, d.number()}
		if i > 0 && b.Index == h.sparse[i-1].Index || b.Index >= infBits>>binShift || b.Count == 0 || b.Count > math.MaxUint64-total {
			d.fail("bin %d is out of order or wrong", index)
		}
		if d.err != nil {
			return
		}
		h.sparse, total = append(h.sparse, b), total+b.Count
	}
	top := uint32(0)
	if n > 0 {
		top = uint32(index)
	}
	if total != h.n || h.max>>binShift != top || n == 0 && h.max != 0 {
		d.fail("the bins do not add up to %d values", h.n)
	}
}

func (d *decoder) average(s *Stats) {
	m := Moving{d.f64(), d.f64()}
	a := average{next: d.below(maxSamples), v: math.Float32frombits(d.magnitude())}
	if !(m.Alpha > 0 && m.Alpha <= 1 && m.Sigma > 0 && m.Sigma <= 1) {
		d.fail("a moving average of the %v quantile with sigma %v", m.Alpha, m.Sigma)
	}
	number := 0
	for i := range d.count(5) {
		number += d.below(maxSamples)
		q := math.Float32frombits(d.magnitude())
		if number <= a.next || number >= maxSamples || i > 0 && len(a.early) != i {
			d.fail("sample %d is out of order", number)
		}
		if d.err != nil {
			return
		}
		if a.early == nil {
			a.early = map[int]float32{}
		}
		a.early[number] = q
	}
	s.keep.Moving, s.moving = append(s.keep.Moving, m), append(s.moving, a)
}
