package ir

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// attrInfo says how one attribute is written, read and judged.
type attrInfo struct {
	set   attrSet
	key   string
	zero  func(a *Attrs) bool // the attribute is not set
	plain func(a *Attrs) bool // it need not be printed; nil: always print
	print func(a *Attrs) string
	parse func(a *Attrs, text string) error
}

// attrTable lists the attributes in the order in which they are printed. lo and hi belong together: attrRange.
var attrTable = []attrInfo{
	{attrKind, "kind", func(a *Attrs) bool { return a.Kind == NoReduce }, nil,
		func(a *Attrs) string { return a.Kind.String() },
		func(a *Attrs, s string) error {
			k, ok := ReduceKindByName(s)
			if !ok {
				return fmt.Errorf("unknown reduction %q", s)
			}
			a.Kind = k
			return nil
		}},
	{attrAxis, "axis", func(a *Attrs) bool { return a.Axis == 0 }, nil,
		func(a *Attrs) string { return strconv.Itoa(a.Axis) },
		func(a *Attrs, s string) (err error) { a.Axis, err = parseInt(s); return }},
	{attrRange, "lo", func(a *Attrs) bool { return a.Lo == 0 }, nil,
		func(a *Attrs) string { return strconv.Itoa(a.Lo) },
		func(a *Attrs, s string) (err error) { a.Lo, err = parseInt(s); return }},
	{attrRange, "hi", func(a *Attrs) bool { return a.Hi == 0 }, nil,
		func(a *Attrs) string { return strconv.Itoa(a.Hi) },
		func(a *Attrs, s string) (err error) { a.Hi, err = parseInt(s); return }},
	{attrShape, "shape", func(a *Attrs) bool { return len(a.Shape) == 0 }, nil,
		func(a *Attrs) string { return ShapeString(a.Shape) },
		func(a *Attrs, s string) (err error) { a.Shape, err = parseShape(s); return }},
	{attrPerm, "perm", func(a *Attrs) bool { return len(a.Perm) == 0 }, nil,
		func(a *Attrs) string { return intsText(a.Perm) },
		func(a *Attrs, s string) (err error) { a.Perm, err = parseInts(s); return }},
	{attrEps, "eps", func(a *Attrs) bool { return a.Eps == 0 }, nil,
		func(a *Attrs) string { return formatFloat(a.Eps, 64) },
		func(a *Attrs, s string) (err error) { a.Eps, err = parseFloat(s); return }},
	{attrGroups, "groups", func(a *Attrs) bool { return a.Groups == 0 }, func(a *Attrs) bool { return a.Groups == 1 },
		func(a *Attrs) string { return strconv.Itoa(a.Groups) },
		func(a *Attrs, s string) (err error) { a.Groups, err = parseInt(s); return }},
	{attrKeep, "keepdims", func(a *Attrs) bool { return !a.KeepDims }, func(a *Attrs) bool { return !a.KeepDims },
		func(a *Attrs) string { return strconv.FormatBool(a.KeepDims) },
		func(a *Attrs, s string) (err error) { a.KeepDims, err = strconv.ParseBool(s); return }},
	{attrTo, "to", func(a *Attrs) bool { return a.To == NoType }, nil,
		func(a *Attrs) string { return a.To.String() },
		func(a *Attrs, s string) error {
			t, ok := DTypeByName(s)
			if !ok {
				return fmt.Errorf("unknown element type %q", s)
			}
			a.To = t
			return nil
		}},
	{attrValue, "value", func(a *Attrs) bool { return a.Value == 0 && !math.Signbit(a.Value) }, nil,
		func(a *Attrs) string { return formatFloat(a.Value, 64) },
		func(a *Attrs, s string) (err error) { a.Value, err = parseFloat(s); return }},
	{attrInv, "inv", func(a *Attrs) bool { return a.Inv == 0 }, func(a *Attrs) bool { return a.Inv == 1 },
		func(a *Attrs) string { return formatFloat(float64(a.Inv), 32) },
		func(a *Attrs, s string) error {
			v, err := strconv.ParseFloat(s, 32)
			if err != nil {
				return fmt.Errorf("%q is not a number", s)
			}
			a.Inv = float32(v)
			return nil
		}},
	{attrFull, "full", func(a *Attrs) bool { return !a.Full }, func(a *Attrs) bool { return !a.Full },
		func(a *Attrs) string { return strconv.FormatBool(a.Full) },
		func(a *Attrs, s string) (err error) { a.Full, err = strconv.ParseBool(s); return }},
	{attrCount, "count", func(a *Attrs) bool { return !a.Count }, func(a *Attrs) bool { return !a.Count },
		func(a *Attrs) string { return strconv.FormatBool(a.Count) },
		func(a *Attrs, s string) (err error) { a.Count, err = strconv.ParseBool(s); return }},
	{attrGroup, "group", func(a *Attrs) bool { return a.GroupSize == 0 }, func(a *Attrs) bool { return a.GroupSize == 0 },
		func(a *Attrs) string { return strconv.Itoa(a.GroupSize) },
		func(a *Attrs, s string) (err error) { a.GroupSize, err = parseInt(s); return }},
	{attrHadamard, "blocks", func(a *Attrs) bool { return a.Blocks == 0 }, func(a *Attrs) bool { return a.Blocks == 1 },
		func(a *Attrs) string { return strconv.Itoa(a.Blocks) },
		func(a *Attrs, s string) (err error) { a.Blocks, err = parseInt(s); return }},
	{attrHadamard, "m", func(a *Attrs) bool { return a.M == 0 }, nil,
		func(a *Attrs) string { return strconv.Itoa(a.M) },
		func(a *Attrs, s string) (err error) { a.M, err = parseInt(s); return }},
	{attrHadamard, "k", func(a *Attrs) bool { return a.K == 0 }, nil,
		func(a *Attrs) string { return strconv.Itoa(a.K) },
		func(a *Attrs, s string) (err error) { a.K, err = parseInt(s); return }},
	{attrHadamard, "transposed", func(a *Attrs) bool { return !a.Transposed }, func(a *Attrs) bool { return !a.Transposed },
		func(a *Attrs) string { return strconv.FormatBool(a.Transposed) },
		func(a *Attrs, s string) (err error) { a.Transposed, err = strconv.ParseBool(s); return }},
}

// setDefaults gives the attributes that an op has and that were not named their neutral values: one group, one block, no scale.
func (a *Attrs) setDefaults(c OpCode) {
	set := func(v *int, of attrSet) {
		if ops[c].attrs&of != 0 && *v == 0 {
			*v = 1
		}
	}
	set(&a.Groups, attrGroups)
	set(&a.Blocks, attrHadamard)
	set(&a.M, attrHadamard)
	if ops[c].attrs&attrInv != 0 && a.Inv == 0 {
		a.Inv = 1
	}
}

// formatFloat writes the shortest text that reads back as the same number.
func formatFloat(v float64, bits int) string {
	switch {
	case math.IsInf(v, 1):
		return "inf"
	case math.IsInf(v, -1):
		return "-inf"
	case v != v:
		return "nan"
	}
	return strconv.FormatFloat(v, 'g', -1, bits)
}

func parseFloat(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return v, nil
}

// parseInt reads a number that is small enough for products of a few of them.
func parseInt(s string) (int, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > maxElements || n < -maxElements {
		return 0, fmt.Errorf("%q is not a whole number below 2^40", s)
	}
	return int(n), nil
}

// parseList splits [a, b, c]; the empty list has no entries.
func parseList(s string) ([]string, error) {
	inner, ok := strings.CutPrefix(s, "[")
	if inner, ok2 := strings.CutSuffix(inner, "]"); ok && ok2 {
		if inner = strings.TrimSpace(inner); inner == "" {
			return nil, nil
		}
		parts := strings.Split(inner, ",")
		for i, p := range parts {
			parts[i] = strings.TrimSpace(p)
		}
		return parts, nil
	}
	return nil, fmt.Errorf("%q is not a list [a, b, ...]", s)
}

// intsText writes [1, 0].
func intsText(list []int) string {
	parts := make([]string, len(list))
	for i, n := range list {
		parts[i] = strconv.Itoa(n)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func parseInts(s string) ([]int, error) { return parseEach(s, parseInt) }

func parseShape(s string) ([]Dim, error) { return parseEach(s, parseDim) }

func parseEach[T any](s string, parse func(string) (T, error)) ([]T, error) {
	parts, err := parseList(s)
	if err != nil {
		return nil, err
	}
	out := make([]T, len(parts))
	for i, p := range parts {
		if out[i], err = parse(p); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func parseDim(s string) (Dim, error) {
	for d := Outs; d <= Rows; d++ {
		if s == d.String() {
			return d, nil
		}
	}
	n, err := parseInt(s)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not an extent (a number, T, S or O)", s)
	}
	return Dim(n), nil
}
