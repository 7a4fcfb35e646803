package ptx

import (
	"fmt"
	"strings"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// Fields of phases and launches, all i64.
const (
	phaseMinRows = iota
	phaseMinChosen
	phaseFirst
	phaseFields
)

const (
	launchKernel = iota
	launchArgs
	launchPanels
	launchBy
	launchBlock
	launchStream      // byte of the weights where the first panel begins that a tile streams
	launchStreamBytes // of a panel; 0: a tile streams none
	launchMembers     // warps that share a tile
	launchLeast       // of the rows, or what the grid goes by
	launchMost
	launchFields
)

// tables writes the program: which launches a phase has, and what each needs. Every line says what it is about.
func (m *module) tables() string {
	var phases, launches, args []row
	n := 0
	named, noted := brief{}, brief{}
	for i, ph := range m.p.Phases {
		phases = append(phases, row{[]int64{ph.MinRows, ph.MinChosen, int64(len(launches))}, fmt.Sprintf("%d %s", i, named.of(ph.Name))})
		for _, l := range ph.Launches {
			about := fmt.Sprintf("%d %s", len(launches), noted.of(l.Note))
			var from int64
			streamed := m.streams[l.Kernel]
			if streamed.bytes > 0 {
				from = l.Args[streamed.param]
			}
			launches = append(launches, row{[]int64{int64(l.Kernel), int64(n), l.Grid.Panels, int64(l.Grid.By), l.Grid.RowsPerTile(), from, streamed.bytes, int64(m.p.Kernels[l.Kernel].Members), l.Grid.Least, most(l.Grid)}, about})
			if len(l.Args) > 0 {
				args = append(args, row{l.Args, fmt.Sprint(len(launches) - 1)})
			}
			n += len(l.Args)
		}
	}
	phases = append(phases, row{[]int64{0, 0, int64(len(launches))}, "end"})
	if len(args) == 0 {
		args = append(args, row{[]int64{0}, "none"})
	}
	var b strings.Builder
	b.WriteString("// Phases: rows and chosen tokens below which it is skipped, first launch. What is fused behind a first op is said where it comes first.\n")
	m.rows(&b, "phases", phases)
	b.WriteString("// Launches: kernel, first argument, panels, by (0 one, 1 rows, 2 sequences, 3 rows of logits), rows in a block, weights streamed: from, bytes a panel, warps a tile, least and most rows (-1 any).\n")
	m.rows(&b, "launches", launches)
	b.WriteString("// Arguments of each launch: bytes from where the parameter's memory begins.\n")
	m.rows(&b, "args", args)
	return b.String()
}

// most is the largest count that a grid is for; -1, which is the largest of all without a sign: any.
func most(g spmd.Grid) int64 {
	if g.Most == 0 {
		return -1
	}
	return g.Most
}

// brief is what has been said of things: a name goes on with what is fused behind its first op, which is the same in all layers.
type brief map[string]bool

// of is a name without what has been said.
func (b brief) of(name string) string {
	first, more, fused := strings.Cut(name, " + ")
	if b[more] && fused {
		return first
	}
	b[more] = true
	return name
}

// row is a line of a table.
type row struct {
	xs   []int64
	note string
}

func (m *module) rows(b *strings.Builder, name string, rows []row) {
	n := 0
	for _, r := range rows {
		n += len(r.xs)
	}
	fmt.Fprintf(b, ".global .align 8 .b64 %s_%s[%d] = {\n", m.prefix, name, n)
	for i, r := range rows {
		b.WriteByte('\t')
		for j, x := range r.xs {
			if j > 0 {
				b.WriteByte(' ')
			}
			fmt.Fprint(b, x)
			if i+1 < len(rows) || j+1 < len(r.xs) {
				b.WriteByte(',')
			}
		}
		fmt.Fprintf(b, " // %s\n", comment(r.note))
	}
	b.WriteString("};\n\n")
}

// headComment says what a kernel is and who launches it.
func (m *module) headComment(kernel int) string {
	k := m.p.Kernels[kernel]
	var b strings.Builder
	fmt.Fprintf(&b, "// %s", comment(k.Name))
	if k.Team > 0 {
		where := "global"
		if m.inShared(k) {
			where = "shared"
		}
		fmt.Fprintf(&b, ", %d bytes of %s memory a team", k.Team, where)
	}
	b.WriteString("\n// launched by")
	const most = 3
	n, said := 0, brief{}
	for _, ph := range m.p.Phases {
		for _, l := range ph.Launches {
			if l.Kernel != kernel {
				continue
			}
			if n++; n > most {
				continue
			}
			about := said.of(l.Note)
			if ph.Name != l.Note {
				about = said.of(ph.Name) + ": " + about
			}
			fmt.Fprintf(&b, " [%s]", comment(about))
		}
	}
	if n > most {
		fmt.Fprintf(&b, " and %d more", n-most)
	}
	b.WriteString("\n")
	for i, p := range k.Params {
		if i%8 == 0 {
			b.WriteString([]string{"// ", ",\n// "}[min(i, 1)])
		} else {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s: %v of %v", comment(p.Name), p.Elem, p.Space)
	}
	if len(k.Params) > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}
