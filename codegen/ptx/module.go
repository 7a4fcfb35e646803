package ptx

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/codegen/spmd"
)

// module is the state of one Emit.
type module struct {
	gpu     gpu
	prefix  string
	p       spmd.Merged
	members int            // of a team: those of the kernels that share tiles, or 1
	streams []stream       // by kernel
	inlined map[int]string // kernels that stand in the entry
}

// Emit gives the PTX of a model. prefix begins every symbol; weightsSHA256 is put into the module, in hexadecimal, so that it can be matched
// with its weights. The program's target says which GPU it is for.
func Emit(prefix, weightsSHA256 string, p *spmd.Program) ([]byte, error) {
	m, err := newModule(prefix, weightsSHA256, p)
	if err != nil {
		return nil, err
	}
	var errs []error
	var kernels strings.Builder
	for i, k := range m.p.Kernels {
		text, err := m.kernel(i)
		if err != nil {
			errs = append(errs, fmt.Errorf("target %s: kernel %s: %w", p.Target.Name, k.Name, err))
		}
		if text != "" {
			kernels.WriteString(text + "\n")
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return []byte(m.head(weightsSHA256) + m.tables() + kernels.String() + m.step()), nil
}

// newModule checks what Emit is given.
func newModule(prefix, weightsSHA256 string, p *spmd.Program) (*module, error) {
	errs := abi.CheckNames(prefix, weightsSHA256)
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if p == nil {
		bad("no program")
		return nil, errors.Join(errs...)
	}
	g, err := find(p.Target.Name)
	if err != nil {
		errs = append(errs, err)
	}
	if err := p.Verify(); err != nil {
		errs = append(errs, err)
	} else {
		errs = append(errs, checkProgram(p)...)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	m := &module{gpu: g, prefix: prefix, p: spmd.Merge(p)[0], members: membersOf(p), inlined: map[int]string{}}
	for i := range m.p.Kernels {
		m.streams = append(m.streams, m.findStream(i))
	}
	return m, nil
}

// checkProgram says what the tables and a launch need beyond what the verifier checks.
func checkProgram(p *spmd.Program) (errs []error) {
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("target %s: "+format, append([]any{p.Target.Name}, args...)...))
	}
	if p.Target.Lanes != warp {
		bad("a warp has %d lanes, the program was built for %d", warp, p.Target.Lanes)
	}
	if n := p.Target.Members; n > blockThreads/warp {
		bad("a block has %d warps, a team of the program %d", blockThreads/warp, n)
	}
	if len(p.Phases) == 0 {
		bad("the program has no phases")
	}
	for i, ph := range p.Phases {
		if len(ph.Launches) == 0 {
			bad("phase %d (%s) launches nothing", i, ph.Name)
		}
	}
	return errs
}

// symbol is the name of a kernel's function.
func (m *module) symbol(kernel int) string {
	clean := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}
	return fmt.Sprintf("%s_k%d_%s", m.prefix, kernel, strings.Map(clean, m.p.Kernels[kernel].Name))
}

// membersOf is how many warps a team of a program has: as many as share a tile, in any of its kernels.
func membersOf(p *spmd.Program) int {
	n := 1
	for _, k := range p.Kernels {
		n = max(n, k.Members)
	}
	return n
}

// inShared says that a kernel's scratch fits into its share of a multiprocessor's shared memory: a team's, or a warp's where each does tiles alone.
func (m *module) inShared(k *spmd.Kernel) bool { return m.inTeam(k) <= m.gpu.sharedTeam(m.members) }

// inTeam is how much scratch a team's warps need of a kernel, all together.
func (m *module) inTeam(k *spmd.Kernel) int64 { return lines(lines(k.Team)+slotsOf(k)) * m.alone(k) }

// alone is how many warps of a team do tiles of a kernel at the same time.
func (m *module) alone(k *spmd.Kernel) int64 { return int64(m.members / k.Members) }

func lines(bytes int64) int64 { return (bytes + line - 1) &^ (line - 1) }

// scratch is how much a team needs of shared and of global memory.
func (m *module) scratch() (shared, global int64) {
	for _, k := range m.p.Kernels {
		if m.inShared(k) {
			shared = max(shared, m.inTeam(k))
		} else {
			global = max(global, m.inTeam(k))
		}
	}
	return shared, global
}

// Launch is what a launch of a program's entry must be like.
type Launch struct {
	TeamBytes    int64 // of global scratch, for each team
	SharedBytes  int64 // of dynamic shared memory, for each team
	TeamThreads  int64
	BlockThreads int64 // at most
}

// LaunchOf gives the facts about the launch of a program that Emit accepts.
func LaunchOf(p *spmd.Program) Launch {
	l := Launch{TeamThreads: int64(membersOf(p) * warp), BlockThreads: blockThreads}
	if g, err := find(p.Target.Name); err == nil {
		m := module{gpu: g, p: spmd.Merged{Program: p}, members: membersOf(p)}
		l.SharedBytes, l.TeamBytes = m.scratch()
	}
	return l
}

// head is everything before the tables.
func (m *module) head(weightsSHA256 string) string {
	p := m.p
	shared, global := m.scratch()
	var b strings.Builder
	fmt.Fprintf(&b, "// %s for %s: %d phases, %d kernels. See docs/ptx.md.\n", comment(p.Name), m.gpu.name, len(p.Phases), len(p.Kernels))
	fmt.Fprintf(&b, ".version %s\n.target %s\n.address_size 64\n\n", m.gpu.isa, m.gpu.name)
	if shared > 0 {
		fmt.Fprintf(&b, ".extern .shared .align %d .b8 %s_shared[];\n\n", line, m.prefix)
	}
	m.table(&b, ".visible .global .align 8 .b64", "facts", []int64{
		factABI: abi.Version, factWeightBytes: p.WeightBytes, factWorkBytes: p.WorkBytes, factTeamBytes: global, factSlotBytes: p.SlotBytes,
		factLogitsStride: p.LogitsStride, factVocab: p.Vocab, factMaxRows: p.MaxRows, factMaxSeqs: p.MaxSeqs, factPhases: int64(len(p.Phases)),
		factShared: shared, factTeamThreads: int64(m.members * warp), factBlockThreads: blockThreads, facts - 1: 0})
	hex := make([]int64, 65)
	for i := range weightsSHA256 {
		hex[i] = int64(weightsSHA256[i])
	}
	m.table(&b, ".visible .global .align 1 .b8", "weights_sha256", hex)
	return b.String()
}

// table writes an initialized array, sixteen numbers a line.
func (m *module) table(b *strings.Builder, kind, name string, xs []int64) {
	fmt.Fprintf(b, "%s %s_%s[%d] = {", kind, m.prefix, name, len(xs))
	for i, x := range xs {
		if i > 0 {
			b.WriteString(", ")
		}
		if i%16 == 0 {
			b.WriteString("\n\t")
		}
		fmt.Fprint(b, x)
	}
	b.WriteString("\n};\n\n")
}
