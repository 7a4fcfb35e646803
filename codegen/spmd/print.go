package spmd

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// String is the text of a kernel, which ParseKernel reads.
func (k *Kernel) String() string {
	var w printer
	w.kernel(k)
	return w.String()
}

// String is one line: the instruction without its regions.
func (in *Instr) String() string {
	var w printer
	w.head(in)
	return w.String()
}

// brief is a line's worth of it.
func (in *Instr) brief() string {
	text := in.String()
	if len(text) > 160 {
		text = text[:160] + "..."
	}
	return text
}

// Describe names an instruction in an error; nil stands for what lies before the first.
func (in *Instr) Describe() string {
	if in == nil {
		return "parameters"
	}
	return strings.TrimSpace(in.String())
}

// String is the value's name in the text.
func (v *Value) String() string {
	if v == nil {
		return "%nil"
	}
	return "%" + strconv.Itoa(v.ID)
}

type printer struct{ strings.Builder }

func (w *printer) f(format string, args ...any) { fmt.Fprintf(&w.Builder, format, args...) }

func (w *printer) kernel(k *Kernel) {
	w.f("kernel %s lanes %d", printName(k.Name), k.Lanes)
	if k.Members != 1 {
		w.f(" members %d", k.Members)
	}
	w.f(" team %d (", k.Team)
	for i, p := range k.Params {
		if i > 0 {
			w.WriteString(", ")
		}
		w.f("%s *%v %v", printName(p.Name), p.Elem, p.Space)
	}
	w.WriteString(") {\n")
	if k.Body != nil {
		w.region(k.Body, 1)
	}
	w.WriteString("}\n")
}

func (w *printer) region(r *Region, depth int) {
	if r == nil || depth > maxDepth+1 {
		return // neither verifies
	}
	indent := strings.Repeat("  ", depth)
	for _, in := range r.Body {
		w.WriteString(indent)
		w.head(in)
		if in == nil {
			w.WriteString("\n")
			continue
		}
		for i, inner := range in.Regions {
			if i > 0 && inner.empty() {
				continue
			}
			if i > 0 {
				w.f("%s} else", indent)
			}
			w.WriteString(" {\n")
			w.region(inner, depth+1)
		}
		if len(in.Regions) > 0 {
			w.f("%s}", indent)
		}
		w.WriteString("\n")
	}
	if len(r.Yield) > 0 {
		w.f("%syield", indent)
		w.values(" ", r.Yield)
		w.WriteString("\n")
	}
}

func (r *Region) empty() bool { return r == nil || len(r.Body) == 0 && len(r.Yield) == 0 }

func (w *printer) values(before string, vs []*Value) {
	for _, v := range vs {
		w.WriteString(before)
		w.WriteString(v.String())
	}
}

// head prints results, op, their types, operands and immediate; of a loop and a branch what stands before the first brace.
func (w *printer) head(in *Instr) {
	if in == nil {
		w.WriteString("missing instruction")
		return
	}
	for i, r := range in.Results {
		if i > 0 {
			w.WriteString(", ")
		}
		w.WriteString(r.String())
	}
	if len(in.Results) > 0 {
		w.WriteString(" = ")
	}
	w.WriteString(in.Op.String())
	for i, r := range in.Results {
		if i > 0 {
			w.WriteString(",")
		}
		w.f(" %s", typeOf(r))
	}
	if in.Op >= numOps {
		return
	}
	switch ops[in.Op].imm {
	case immStep:
		w.loop(in)
	case immOffset:
		w.memory(in)
	case immPred:
		w.f(" %v", Pred(in.Imm))
		w.values(" ", in.Args)
	case immValue:
		w.constant(in)
	case noImm:
		w.values(" ", in.Args)
	case immTiles:
		w.values(" ", in.Args)
		w.f(" strides %d %d %d", in.Strides.C, in.Strides.A, in.Strides.B)
		if in.Strides.Run != 0 {
			w.f(" run %d", in.Strides.Run)
		}
		if in.Strides.Ahead != 0 {
			w.f(" ahead %d", in.Strides.Ahead)
		}
		w.f(" tiles %d", in.Imm)
	case immStrides:
		w.values(" ", in.Args)
		w.f(" strides %d %d", in.Strides.A, in.Strides.B)
	case immPieces:
		w.values(" ", in.Args)
		w.f(" strides %d %d bytes %d pieces %d", in.Strides.C, in.Strides.A, in.Strides.B, in.Imm)
	default:
		w.values(" ", in.Args)
		w.f(" %d", in.Imm)
	}
}

func (w *printer) loop(in *Instr) {
	if len(in.Regions) != 1 || in.Regions[0] == nil || len(in.Args) < 2 || len(in.Regions[0].Params) != len(in.Args)-1 {
		w.values(" ", in.Args)
		return
	}
	r := in.Regions[0]
	w.f(" %s = %s to %s step %d", r.Params[0], in.Args[0], in.Args[1], in.Imm)
	for i, init := range in.Args[2:] {
		w.WriteString([...]string{" carry (", ", "}[min(i, 1)])
		w.f("%s = %s", r.Params[i+1], init)
	}
	if len(in.Args) > 2 {
		w.WriteString(")")
	}
}

// memory prints an address, then what stands apart from it: "%p %i + 16 below %n = %x".
func (w *printer) memory(in *Instr) {
	names, _, want := in.Op.operands(len(in.Args))
	after := ""
	for i, a := range in.Args {
		if want == "" && after == "" && (names[i] == "n" || names[i] == "x") {
			after = "yes"
			w.offset(in.Imm)
		}
		switch {
		case after != "" && names[i] == "n":
			w.WriteString(" below")
		case after != "" && names[i] == "x":
			w.WriteString(" =")
		}
		w.f(" %s", a)
	}
	if after == "" {
		w.offset(in.Imm)
	}
}

func (w *printer) offset(n int64) {
	switch {
	case n > 0:
		w.f(" + %d", n)
	case n < 0:
		w.f(" - %d", -uint64(n))
	}
}

// constant prints a float as the shortest decimal that is read back to the same bits; what is not a number, as its bits.
func (w *printer) constant(in *Instr) {
	if len(in.Results) != 1 || in.Results[0] == nil || in.Results[0].Type.Elem != F32 {
		w.f(" %d", in.Imm)
		return
	}
	x := float64(math.Float32frombits(uint32(in.Imm)))
	if in.Imm != int64(uint32(in.Imm)) || math.IsNaN(x) || math.IsInf(x, 0) {
		w.f(" 0x%08x", uint64(in.Imm))
		return
	}
	w.f(" %s", strconv.FormatFloat(x, 'g', -1, 32))
}

// plainName says whether a name needs no quotes.
func plainName(s string) bool {
	for i := 0; i < len(s); i++ {
		if !nameByte(s[i]) || i == 0 && (s[i] == '.' || s[i] == '-' || '0' <= s[i] && s[i] <= '9') {
			return false
		}
	}
	return s != ""
}

func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.' || c == '-'
}

func printName(s string) string {
	if plainName(s) {
		return s
	}
	return strconv.Quote(s)
}
