package passes

import (
	"slices"
	"strings"

	"github.com/ssmc/ssmc/ir"
)

// note says what a group is in a few words, for dumps and profiles: "layers.3 in_proj.x + conv + silu".
func note(kind ir.GroupKind, ops []*ir.Op) string {
	anchor := anchorOf(ops)
	head := anchor
	if head == nil {
		head = ops[0]
	}
	layer, role := splitLayer(head.Result().Name)
	var parts []string
	switch {
	case head.Code == ir.OpScan:
		parts = append(parts, "scan")
	case head.Code == ir.OpLinear:
		parts = append(parts, linearNote(head, role))
	case anchor != nil:
		parts = append(parts, head.Code.String()+" "+role)
	}
	before := true
	behind := behindAnchor(anchor, ops)
	for _, op := range ops {
		switch word := opWord(op, kind, behind); {
		case op == anchor:
			before = false
		case word == "":
		case before && kind == ir.GroupMap && anchor != nil:
			parts = slices.Insert(parts, len(parts)-1, word)
		default:
			parts = append(parts, word)
		}
	}
	if len(parts) == 0 {
		parts = []string{"view " + role}
	}
	text := strings.Join(parts, " + ")
	if layer != "" {
		text = layer + " " + text
	}
	return text
}

// linearNote names a linear after its weight; a part of a weight has its role as well: in_proj.x. Without a layer the role is enough.
func linearNote(op *ir.Op, role string) string {
	w := op.Args[1]
	if w.Weight == nil {
		return role
	}
	layer, leaf := splitLayer(w.Weight.Name)
	if layer == "" {
		return role
	}
	leaf, part, cut := strings.Cut(leaf, "[")
	leaf, _, _ = strings.Cut(leaf, ".weight")
	leaf = strings.TrimPrefix(leaf, "mixer.")
	if cut && part != "" {
		leaf += "." + role
	}
	return leaf
}

// behindAnchor is the set of values that are made from the anchor's result.
func behindAnchor(anchor *ir.Op, ops []*ir.Op) map[*ir.Value]bool {
	behind := map[*ir.Value]bool{}
	for _, op := range ops {
		if op == anchor || slices.ContainsFunc(op.Args, func(a *ir.Value) bool { return behind[a] }) {
			behind[op.Result()] = true
		}
	}
	return behind
}

// opWord is what an op beside the anchor adds to a note; views and numbers add nothing, and neither does the discretisation of a scan.
func opWord(op *ir.Op, kind ir.GroupKind, behind map[*ir.Value]bool) string {
	switch op.Code {
	case ir.OpReshape, ir.OpConst, ir.OpCast:
		return ""
	case ir.OpLinear:
		_, leaf := splitLayer(op.Args[1].Name)
		return leaf
	case ir.OpAdd, ir.OpMul:
		return joinWord(op, kind, behind)
	case ir.OpFMA:
		return fmaWord(op, kind, behind)
	case ir.OpExp:
		if kind == ir.GroupScan {
			return ""
		}
	}
	return op.Code.String()
}

// fmaWord names a product and sum: of a scan's values the skip, behind a linear its scale and what is added.
func fmaWord(op *ir.Op, kind ir.GroupKind, behind map[*ir.Value]bool) string {
	sum := op.Args[2]
	switch {
	case kind == ir.GroupScan && behind[op.Result()]:
		return "skip"
	case kind == ir.GroupScan:
		return "scale + bias"
	case kind == ir.GroupContract && isConstant(sum):
		return "scale + bias"
	case kind == ir.GroupContract && !behind[sum] && isConstant(op.Args[1]):
		return "scale + residual"
	case kind == ir.GroupContract && behind[sum] != (behind[op.Args[0]] || behind[op.Args[1]]):
		return "residual"
	}
	return op.Code.String()
}

// joinWord names an addition or a product by what it joins.
func joinWord(op *ir.Op, kind ir.GroupKind, behind map[*ir.Value]bool) string {
	add := op.Code == ir.OpAdd
	// One operand is made from the anchor, the other comes from elsewhere.
	joins := behind[op.Args[0]] != behind[op.Args[1]] && !isConstant(op.Args[0]) && !isConstant(op.Args[1])
	switch {
	case kind == ir.GroupScan && add && behind[op.Result()]:
		return "skip"
	case kind == ir.GroupScan && add:
		return "bias"
	case kind == ir.GroupScan && !behind[op.Result()]:
		return ""
	case kind == ir.GroupContract && add && joins:
		return "residual"
	case kind == ir.GroupContract && !add && isConstant(op.Args[1]):
		return "scale"
	case kind != ir.GroupMap && joins:
		return "gate"
	}
	return op.Code.String()
}

// splitLayer cuts a name into its layer ("layers.3", empty if it has none) and the rest.
func splitLayer(name string) (layer, rest string) {
	const word = "layers."
	i := strings.Index(name, word)
	if i < 0 || i > 0 && name[i-1] != '.' {
		return "", name
	}
	end := i + len(word)
	for end < len(name) && '0' <= name[end] && name[end] <= '9' {
		end++
	}
	if end == i+len(word) || end == len(name) || name[end] != '.' {
		return "", name
	}
	return name[i:end], name[end+1:]
}
