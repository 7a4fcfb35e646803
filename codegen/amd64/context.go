package amd64

import (
	"github.com/llir/llvm/ir/constant"
	"github.com/llir/llvm/ir/enum"
	"github.com/llir/llvm/ir/types"

	"github.com/ssmc/ssmc/codegen/abi"
	"github.com/ssmc/ssmc/codegen/spmd"
)

// constants emits model_facts and model_weights_sha256.
func (m *module) constants(weightsSHA256 string) {
	p := m.facts
	facts := make([]int64, 16)
	copy(facts, []int64{
		abi.Version, p.WeightBytes, p.WorkBytes, m.teamBytes(), p.SlotBytes, p.LogitsStride,
		p.Vocab, p.MaxRows, p.MaxSeqs, int64(len(p.Phases)), int64(len(m.levels)),
	})
	m.visible("facts", array(types.I64, facts, i64))
	m.visible("weights_sha256", stringConstant(weightsSHA256))
}

// visible emits a constant that the object exports.
func (m *module) visible(name string, init constant.Constant) {
	g := m.hidden(name, init)
	g.SetName(m.prefix + "_" + name)
	g.Linkage = enum.LinkageNone
}

// TeamBytes is the scratch of one worker, in whole cache lines: what it says to others, and what kernels use, of which levels may differ.
func TeamBytes(levels ...*spmd.Program) int64 {
	n := int64(0)
	for _, p := range levels {
		n = max(n, (p.TeamBytes+lineBytes-1)&^(lineBytes-1))
	}
	return headBytes + n
}

func (m *module) teamBytes() int64 { return TeamBytes(m.programs()...) }

// required lists the pointers that a step cannot do without.
func (m *module) required() abi.Required {
	r := abi.Requires(m.programs()...)
	r.Always = append(r.Always, abi.Team)
	return r
}

// programs are those of all levels.
func (m *module) programs() (all []*spmd.Program) {
	for _, l := range m.levels {
		all = append(all, l.Program)
	}
	return all
}
