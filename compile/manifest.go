package compile

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ssmc/ssmc/artifact"
	"github.com/ssmc/ssmc/codegen/amd64"
	"github.com/ssmc/ssmc/codegen/kernel"
	"github.com/ssmc/ssmc/codegen/ptx"
	"github.com/ssmc/ssmc/codegen/spmd"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/quant"
)

// manifest says all that is known before anything is written.
func (c *compiler) manifest() *artifact.Manifest {
	g, p := c.result.Graph, c.plan.Programs[0]
	m := &artifact.Manifest{
		Format: artifact.Format, Version: artifact.Version, Tool: "ssmc " + Version,
		Model: artifact.Model{Family: g.Family, Parameters: c.parameters(), Vocab: g.Vocab, BOS: g.Meta.BOS,
			EOS: append([]int{}, g.Meta.EOS...), Positions: g.Meta.Positions},
		Target:  artifact.Target{Name: strings.Join(c.levels, ","), Levels: manifestLevels(c.plan.Programs)},
		Weights: artifact.Weights{Mode: c.Weights, Bytes: p.WeightBytes},
		Entry:   artifact.Entry{Prefix: c.Prefix, ABI: artifact.ABIVersion},
		Sizes: artifact.Sizes{WorkBytes: p.WorkBytes, TeamBytes: amd64.TeamBytes(c.plan.Programs...), SlotBytes: p.SlotBytes, LogitsStride: p.LogitsStride,
			MaxRows: p.MaxRows, MaxSeqs: p.MaxSeqs},
		States: states(c.plan.States),
		Phases: phases(c.plan), Counters: counters(c.plan),
	}
	m.Quantization = c.quantized
	m.Cost = cost(g, c.plan)
	if isGPU(p.Target.Name) {
		m.Sizes.TeamBytes, m.Target.GPU = gpuFacts(p)
		m.Target.GPU.Fast = c.Fast
	}
	return m
}

// gpuFacts is how much global scratch a team needs, and what a launch must be like.
func gpuFacts(p *spmd.Program) (team int64, gpu *artifact.GPU) {
	l := ptx.LaunchOf(p)
	return l.TeamBytes, &artifact.GPU{SharedBytes: l.SharedBytes, TeamThreads: l.TeamThreads, BlockThreads: l.BlockThreads}
}

// parameters counts the checkpoint's numbers.
func (c *compiler) parameters() int64 {
	n := int64(0)
	if c.checkpoint == nil {
		return n
	}
	for _, name := range c.checkpoint.Names {
		t, _ := c.checkpoint.Tensor(name)
		n += int64(t.Elements())
	}
	return n
}

// stateKinds are the names that reference files have for the states of the families.
var stateKinds = map[string]string{"conv": "conv", "ssm": "recurrent"}

// states describes a slot. The families call their states layers.3.conv and layers.3.ssm.
func states(layouts []kernel.StateLayout) []artifact.State {
	var list []artifact.State
	for _, l := range layouts {
		s := artifact.State{Name: l.Name, Layer: -1, Kind: "other", DType: l.DType, Shape: l.Shape, Offset: l.Offset, Block: l.Block, Pad: l.Pad}
		if rest, ok := strings.CutPrefix(l.Name, "layers."); ok {
			number, name, _ := strings.Cut(rest, ".")
			if n, err := strconv.Atoi(number); err == nil && stateKinds[name] != "" {
				s.Layer, s.Kind = n, stateKinds[name]
				s.Name = fmt.Sprintf("state.%d.%s", n, s.Kind)
			}
		}
		list = append(list, s)
	}
	return list
}

// phases describes the phases, for profiles.
func phases(plan *kernel.Plan) []artifact.Phase {
	var list []artifact.Phase
	for i, p := range plan.Programs[0].Phases {
		phase := artifact.Phase{Name: p.Name, MinRows: p.MinRows, MinChosen: p.MinChosen}
		for l, launch := range p.Launches {
			phase.WeightBytes += plan.Costs[i][l].WeightBytes
			phase.Notes = append(phase.Notes, launch.Note)
		}
		list = append(list, phase)
	}
	return list
}

// gridNames are the manifest's words for what the blocks of a launch are of.
var gridNames = map[spmd.GridBy]string{spmd.ByOne: artifact.CountAll, spmd.ByRowBlocks: artifact.CountRows, spmd.ByOutBlocks: artifact.CountOuts, spmd.BySeqs: artifact.CountSeqs}

// counters describes where clamped values are counted.
func counters(plan *kernel.Plan) []artifact.Counter {
	var list []artifact.Counter
	for _, c := range plan.Counters {
		layer := layerOf(c.Name)
		list = append(list, artifact.Counter{Tensor: quant.TensorName(quant.Role(c.Role), layer), Layer: max(layer, -1), Offset: c.Offset, Lanes: c.Lanes,
			Panels: c.Grid.Panels, By: gridNames[c.Grid.By], Block: c.Grid.Block, Least: c.Grid.Least, Most: c.Grid.Most, Columns: c.Columns, PerOut: c.PerWantedRow})
	}
	return list
}

// cost counts the arithmetic of a step: contractions and recurrences as the plan has them, and the exponentials of the graph's recurrences.
func cost(g *ir.Module, plan *kernel.Plan) artifact.Cost {
	var c artifact.Cost
	for i, p := range plan.Programs[0].Phases {
		for l, launch := range p.Launches {
			if launch.Grid.By == spmd.ByOutBlocks {
				c.OutOps += plan.Costs[i][l].Flops
			} else {
				c.RowOps += plan.Costs[i][l].Flops
			}
		}
	}
	for _, op := range g.Func.Ops {
		if op.Code != ir.OpExp || len(op.Result().Type.Shape) == 0 || op.Result().Type.Shape[0] != ir.Rows {
			continue
		}
		n := int64(1)
		for _, d := range op.Result().Type.Shape[1:] {
			n *= int64(d)
		}
		c.RowExp += n
	}
	return c
}

// pieces hands the packed weights to the artefact. A weight that is packed in two orders gets a second name.
func pieces(plan *kernel.Plan) ([]artifact.Piece, error) {
	used := make(map[string]int)
	var list []artifact.Piece
	for i := range plan.Pieces {
		p := &plan.Pieces[i]
		name := p.Name
		if used[p.Name]++; used[p.Name] > 1 {
			name = fmt.Sprintf("%s#%d", p.Name, used[p.Name])
		}
		list = append(list, artifact.Piece{Name: name, DType: p.DType, Shape: p.Shape, Bytes: p.Bytes, Fill: p.Fill})
		if i > 0 && p.Offset != plan.Pieces[i-1].Offset+plan.Pieces[i-1].Bytes {
			return nil, fmt.Errorf("packed weight %q begins at %d, the one before it ends at %d", p.Name, p.Offset, plan.Pieces[i-1].Offset+plan.Pieces[i-1].Bytes)
		}
	}
	return list, nil
}
