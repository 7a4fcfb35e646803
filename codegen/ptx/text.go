package ptx

import (
	"fmt"
	"strings"
)

// class is a kind of register: its letter says what it is for.
type class byte

const (
	word    class = 'r' // i32, and i64 that is known to fit
	wide    class = 'd' // i64
	float   class = 'f'
	truth   class = 'p' // bool
	half    class = 'h' // 16 bits on the way to memory
	address class = 'a' // of global memory
	offset  class = 's' // address of shared memory
)

// classes gives the register classes in the order of their declarations.
var classes = [...]struct {
	class class
	typ   string // as .reg declares it
	bits  string // as mov and selp call it
}{
	{truth, "pred", "pred"}, {half, "b16", "b16"}, {word, "b32", "b32"}, {offset, "b32", "b32"},
	{float, "f32", "f32"}, {wide, "b64", "b64"}, {address, "b64", "b64"},
}

// bits is the type of a move of a class.
func (c class) bits() string {
	for _, k := range classes {
		if k.class == c {
			return k.bits
		}
	}
	return "b32"
}

// code is the body of a function in the making.
type code struct {
	b      strings.Builder
	used   [128]int // registers, by class
	labels int
	within string // in front of labels
}

// reg makes a new register.
func (c *code) reg(k class) string {
	n := c.used[k]
	c.used[k]++
	return fmt.Sprintf("%%%c%d", byte(k), n)
}

// label makes a new label.
func (c *code) label(what string) string {
	c.labels++
	return fmt.Sprintf("$%s%s%d", c.within, what, c.labels)
}

// op writes an instruction.
func (c *code) op(format string, args ...any) {
	c.b.WriteByte('\t')
	fmt.Fprintf(&c.b, format, args...)
	c.b.WriteString(";\n")
}

// to writes an instruction with a new register as its destination: name, destination, operands.
func (c *code) to(k class, name string, operands ...string) string {
	d := c.reg(k)
	c.b.WriteByte('\t')
	c.b.WriteString(name)
	c.b.WriteByte(' ')
	c.b.WriteString(d)
	for _, o := range operands {
		c.b.WriteString(", ")
		c.b.WriteString(o)
	}
	c.b.WriteString(";\n")
	return d
}

// at places a label.
func (c *code) at(label string) {
	c.b.WriteString(label)
	c.b.WriteString(":\n")
}

// note writes a comment.
func (c *code) note(format string, args ...any) {
	c.b.WriteString("\t// ")
	c.b.WriteString(comment(fmt.Sprintf(format, args...)))
	c.b.WriteByte('\n')
}

// comment keeps names that come from a checkpoint on one line of printable ASCII, which is all that PTX allows.
func comment(s string) string {
	const longest = 200
	if len(s) > longest {
		s = s[:longest] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '\\' {
			return '?'
		}
		return r
	}, s)
}

// function puts a head before the body, and the declarations of its registers.
func (c *code) function(head string) string {
	var out strings.Builder
	out.WriteString(head)
	out.WriteString("\n{\n")
	for _, k := range classes {
		if n := c.used[k.class]; n > 0 {
			fmt.Fprintf(&out, "\t.reg .%s %%%c<%d>;\n", k.typ, byte(k.class), n)
		}
	}
	out.WriteString(c.b.String())
	out.WriteString("}\n")
	return out.String()
}

// hex is a float as PTX writes its bits.
func hex(bits uint32) string { return fmt.Sprintf("0f%08X", bits) }

// isRegister tells a register from an immediate.
func isRegister(s string) bool { return strings.HasPrefix(s, "%") }
