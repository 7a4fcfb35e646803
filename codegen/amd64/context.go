package amd64

import (
	"github.com/llir/llvm/ir/constant"
	"github.com/llir/llvm/ir/enum"
	"github.com/llir/llvm/ir/types"

	"github.com/ssmc/ssmc/codegen/spmd"
)

// abiVersion is that of docs/abi.md.
const abiVersion = 1

// Offsets of the fields of struct model_ctx, as docs/abi.md has them.
const (
	ctxABI        = 0
	ctxLevel      = 4
	ctxWeights    = 8
	ctxWork       = 16
	ctxTeam       = 24
	ctxState      = 32
	ctxIDs        = 40
	ctxSeqStart   = 48
	ctxSeqSlot    = 56
	ctxOutRow     = 64
	ctxLogits     = 72
	ctxRows       = 80
	ctxSeqs       = 88
	ctxOuts       = 96
	ctxTrace      = 104
	ctxSpin       = 112
	ctxStop       = 116
	ctxArrived    = 128
	ctxGeneration = 192
	ctxSleepers   = 256
)

// Results of the exported functions.
const (
	fine       = 0
	errABI     = -1
	errLevel   = -2
	errCount   = -3
	errPointer = -4
)

// spaceFields are where the context says where a space is.
var spaceFields = [...]int64{
	spmd.Weights: ctxWeights, spmd.Work: ctxWork, spmd.State: ctxState, spmd.IDs: ctxIDs, spmd.SeqStart: ctxSeqStart,
	spmd.SeqSlot: ctxSeqSlot, spmd.OutRow: ctxOutRow, spmd.Logits: ctxLogits,
}

func spaceField(s spmd.Space) int64 {
	if int(s) >= len(spaceFields) {
		panic("parameter in unknown " + s.String())
	}
	return spaceFields[s]
}

// constants emits model_facts and model_weights_sha256.
func (m *module) constants(weightsSHA256 string) {
	p := m.facts
	facts := make([]int64, 16)
	copy(facts, []int64{
		abiVersion, p.WeightBytes, p.WorkBytes, m.teamBytes(), p.SlotBytes, p.LogitsStride,
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

// teamBytes is the scratch of one worker, in whole cache lines; levels may differ in it.
func (m *module) teamBytes() int64 {
	n := int64(0)
	for _, l := range m.levels {
		n = max(n, (l.Program.TeamBytes+63)&^63)
	}
	return n
}

// required lists the pointers that a step cannot do without: whether always, or only when logits are wanted.
func (m *module) required() (always, forOuts []int64) {
	var used [len(spaceFields)]bool
	for _, l := range m.levels {
		for _, k := range l.Program.Kernels {
			for _, p := range k.Params {
				used[p.Space] = true
			}
		}
	}
	for s, u := range used {
		switch {
		case !u:
		case spmd.Space(s) == spmd.OutRow || spmd.Space(s) == spmd.Logits:
			forOuts = append(forOuts, spaceFields[s])
		default:
			always = append(always, spaceFields[s])
		}
	}
	if m.teamBytes() > 0 {
		always = append(always, ctxTeam)
	}
	return always, forOuts
}
