package quant

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
)

// The calibration file, version 1: magic, body, SHA-256 of both. Numbers are the shortest uvarints, floats little-endian bit patterns, texts their length
// and bytes; lists are preceded by their length. Names ascend, so the same statistics are the same bytes.
//
//	body    meta (key, value)..., samples, tensors (name, tensor)...
//	tensor  channels, flags (1: channel maxima, 2: channel means), n, nan, inf, first bad sample + 1, largest (f32),
//	        bins (index - last index, count)..., maxima (f32 x channels), means (f32 x channels), averages...
//	average alpha (f64), sigma (f64), next sample, value (f32), early (number - last number, quantile f32)...
const calibrationMagic = "ssmccal\x01"

const (
	hasMaxima = 1 << iota
	hasMeans
)

// Encode writes the file's bytes. Every sample must have ended.
func (c *Calibration) Encode() ([]byte, error) {
	e := encoder([]byte(calibrationMagic))
	e.number(uint64(len(c.Meta)))
	for _, k := range slices.Sorted(maps.Keys(c.Meta)) {
		e.text(k)
		e.text(c.Meta[k])
	}
	e.number(uint64(c.Samples))
	e.number(uint64(len(c.Tensors)))
	for _, name := range slices.Sorted(maps.Keys(c.Tensors)) {
		s := c.Tensors[name]
		if len(s.open) > 0 {
			return nil, fmt.Errorf("%s: %d samples have not ended", name, len(s.open))
		}
		e.text(name)
		e.tensor(s)
	}
	sum := sha256.Sum256(e)
	return append(e, sum[:]...), nil
}

type encoder []byte

func (e *encoder) number(v uint64) { *e = binary.AppendUvarint(*e, v) }
func (e *encoder) f32(bits uint32) { *e = binary.LittleEndian.AppendUint32(*e, bits) }
func (e *encoder) f64(v float64)   { *e = binary.LittleEndian.AppendUint64(*e, math.Float64bits(v)) }

func (e *encoder) text(s string) {
	e.number(uint64(len(s)))
	*e = append(*e, s...)
}

func (e *encoder) tensor(s *Stats) {
	var flags uint64
	if s.channelMax != nil {
		flags |= hasMaxima
	}
	if s.channelMean != nil {
		flags |= hasMeans
	}
	e.number(uint64(s.keep.Channels))
	e.number(flags)
	e.number(s.hist.n)
	e.number(s.nan)
	e.number(s.inf)
	e.number(uint64(s.firstBad + 1))
	e.f32(s.hist.max)
	list, last := s.hist.Bins(), 0
	e.number(uint64(len(list)))
	for _, b := range list {
		e.number(uint64(b.Index - last))
		e.number(b.Count)
		last = b.Index
	}
	for _, b := range s.channelMax {
		e.f32(b)
	}
	for _, m := range s.channelMean {
		e.f32(math.Float32bits(m))
	}
	e.number(uint64(len(s.moving)))
	for i, a := range s.moving {
		e.f64(s.keep.Moving[i].Alpha)
		e.f64(s.keep.Moving[i].Sigma)
		e.number(uint64(a.next))
		e.f32(math.Float32bits(a.v))
		e.number(uint64(len(a.early)))
		last := 0
		for _, number := range slices.Sorted(maps.Keys(a.early)) {
			e.number(uint64(number - last))
			e.f32(math.Float32bits(a.early[number]))
			last = number
		}
	}
}
