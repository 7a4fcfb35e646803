package emu

// typ is a PTX type, written .u32 and so on.
type typ uint8

const (
	noType typ = iota
	b8
	b16
	b32
	b64
	u8
	u16
	u32
	u64
	s8
	s16
	s32
	s64
	f16
	f16x2
	bf16
	bf16x2
	tf32
	f32
	f64
	pred
)

type kind uint8

const (
	kindBits kind = iota
	kindUnsigned
	kindSigned
	kindFloat
	kindPred
)

var types = [...]struct {
	name  string
	bytes int
	kind  kind
}{
	noType: {"?", 0, kindBits},
	b8:     {"b8", 1, kindBits},
	b16:    {"b16", 2, kindBits},
	b32:    {"b32", 4, kindBits},
	b64:    {"b64", 8, kindBits},
	u8:     {"u8", 1, kindUnsigned},
	u16:    {"u16", 2, kindUnsigned},
	u32:    {"u32", 4, kindUnsigned},
	u64:    {"u64", 8, kindUnsigned},
	s8:     {"s8", 1, kindSigned},
	s16:    {"s16", 2, kindSigned},
	s32:    {"s32", 4, kindSigned},
	s64:    {"s64", 8, kindSigned},
	f16:    {"f16", 2, kindFloat},
	f16x2:  {"f16x2", 4, kindFloat},
	bf16:   {"bf16", 2, kindFloat},
	bf16x2: {"bf16x2", 4, kindFloat},
	tf32:   {"tf32", 4, kindFloat},
	f32:    {"f32", 4, kindFloat},
	f64:    {"f64", 8, kindFloat},
	pred:   {"pred", 0, kindPred},
}

func typeOf(name string) typ {
	for t, i := range types {
		if i.name == name && t != 0 {
			return typ(t)
		}
	}
	return noType
}

func (t typ) String() string { return types[t].name }
func (t typ) bytes() int     { return types[t].bytes }
func (t typ) bits() int      { return 8 * types[t].bytes }
func (t typ) kind() kind     { return types[t].kind }
func (t typ) integer() bool  { return t.kind() == kindUnsigned || t.kind() == kindSigned }
func (t typ) signed() bool   { return t.kind() == kindSigned }
func (t typ) isFloat() bool  { return t.kind() == kindFloat }
func (t typ) mask() uint64   { return ^uint64(0) >> (64 - t.bits()) }

// sized is the type of a kind and a size.
func sized(k kind, bytes int) typ {
	for t := range types {
		if types[t].kind == k && types[t].bytes == bytes && t != 0 {
			return typ(t)
		}
	}
	return noType
}

// agrees says whether a register of type t may stand where an instruction wants u, sizes apart: untyped bits go with everything, integers with
// integers of either sign, floats only with their own type.
func (t typ) agrees(u typ) bool {
	switch {
	case t == pred || u == pred:
		return t == u
	case t.kind() == kindBits || u.kind() == kindBits:
		return true
	case t.isFloat() || u.isFloat():
		return t == u
	}
	return true
}

// space is a state space.
type space uint8

const (
	generic space = iota
	global
	shared
	local
	constant
	param
)

var spaces = [...]string{"generic", "global", "shared", "local", "const", "param"}

func (s space) String() string { return spaces[s] }

// spaceOf knows .global and its like, and the forms of .shared and .param that name a cluster or function.
func spaceOf(name string) (space, bool) {
	switch name {
	case "shared::cta":
		return shared, true
	case "param::entry", "param::func":
		return param, true
	}
	for s, n := range spaces {
		if n == name && s != 0 {
			return space(s), true
		}
	}
	return 0, false
}
