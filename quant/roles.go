package quant

import (
	"slices"
	"strings"
)

// Role is what a value or a weight is for. Builders attach roles to the graph; schemes speak of roles, never of a checkpoint's tensors.
type Role string

// The roles of values.
const (
	NormOut    Role = "norm.out" // what a norm gives to in_proj
	SSMX       Role = "ssm.x"    // in_proj's first half, before the convolution
	SSMZ       Role = "ssm.z"    // the gate
	SSMU       Role = "ssm.u"    // SiLU(conv), input of x_proj and of the scan
	SSMDtIn    Role = "ssm.dt_in"
	SSMB       Role = "ssm.B"
	SSMC       Role = "ssm.C"
	SSMDt      Role = "ssm.dt" // dt_proj's output, without its bias
	SSMY       Role = "ssm.y"  // gated scan output, input of out_proj
	SSMState   Role = "ssm.state"
	ConvWindow Role = "conv.window" // the last inputs of the convolution: stored as ssm.x is
	AttnIn     Role = "attn.in"
	AttnQ      Role = "attn.q"
	AttnK      Role = "attn.k"
	AttnV      Role = "attn.v"
	AttnOut    Role = "attn.out" // input of the output projection
	KV         Role = "kv"       // cache
	MLPIn      Role = "mlp.in"
	MLPMid     Role = "mlp.mid"
	MoEIn      Role = "moe.in"
	HeadIn     Role = "head.in"
	Stream     Role = "stream" // residual stream
)

// The roles of weights that are not of an open family: attn.*, mlp.* and expert.* take any name after the dot.
const (
	Embed   Role = "embed"
	Head    Role = "head"
	InProj  Role = "ssm.in_proj"
	Conv    Role = "ssm.conv"
	XProj   Role = "ssm.x_proj"
	DtProj  Role = "ssm.dt_proj"
	OutProj Role = "ssm.out_proj"
	Params  Role = "ssm.params" // A, D, dt_bias, conv_bias
	Router  Role = "router"
)

// valueRole is what may be said about a value.
type valueRole struct {
	role   Role
	types  []Type
	scales []GranularityKind // of i8
	named  bool              // patterns make it nothing but f32: other types must be given to the role by name
	smooth bool              // its producer scales channels freely, so `smooth` may name it
}

var (
	anyFloatOrI8 = []Type{F32, BF16, F16, I8}
	anyFloat     = []Type{F32, BF16, F16}
	perTensor    = []GranularityKind{PerTensor}
	orToken      = []GranularityKind{PerTensor, PerToken} // inputs of linears
)

// valueRoles is the one list of value roles, in the order in which values arise in a layer.
var valueRoles = [...]valueRole{
	{role: Stream, types: anyFloat, named: true},
	{role: NormOut, types: anyFloatOrI8, scales: orToken, smooth: true},
	{role: SSMX, types: anyFloatOrI8, scales: []GranularityKind{PerTensor, PerChannel, PerCell}},
	{role: SSMZ, types: anyFloatOrI8, scales: []GranularityKind{PerTensor, PerChannel}},
	{role: ConvWindow, types: anyFloatOrI8, scales: []GranularityKind{PerTensor, PerChannel, PerCell}, named: true},
	{role: SSMU, types: anyFloatOrI8, scales: []GranularityKind{PerTensor, PerToken, PerCell}},
	{role: SSMDtIn, types: anyFloatOrI8, scales: perTensor},
	{role: SSMB, types: anyFloatOrI8, scales: []GranularityKind{PerTensor, PerSSDGroup}},
	{role: SSMC, types: anyFloatOrI8, scales: []GranularityKind{PerTensor, PerSSDGroup}},
	{role: SSMDt, types: anyFloatOrI8, scales: []GranularityKind{PerTensor, PerChannel}},
	{role: SSMState, types: anyFloatOrI8, scales: []GranularityKind{PerTensor, PerChannel, PerStateChannel}, named: true},
	{role: SSMY, types: anyFloatOrI8, scales: orToken},
	{role: AttnIn, types: anyFloatOrI8, scales: orToken, smooth: true},
	{role: AttnQ, types: anyFloatOrI8, scales: []GranularityKind{PerTensor, PerToken, PerGroup}, named: true},
	{role: AttnK, types: anyFloatOrI8, scales: []GranularityKind{PerTensor, PerToken, PerGroup}, named: true},
	{role: AttnV, types: anyFloatOrI8, scales: []GranularityKind{PerTensor, PerToken, PerGroup}, named: true},
	{role: AttnOut, types: anyFloatOrI8, scales: orToken},
	{role: KV, types: anyFloatOrI8, scales: []GranularityKind{PerTensor, PerToken, PerGroup}, named: true},
	{role: MLPIn, types: anyFloatOrI8, scales: orToken, smooth: true},
	{role: MLPMid, types: anyFloatOrI8, scales: orToken},
	{role: MoEIn, types: anyFloatOrI8, scales: orToken, smooth: true},
	{role: HeadIn, types: anyFloatOrI8, scales: orToken, smooth: true},
}

// weightRole is what may be said about a weight.
type weightRole struct {
	role   Role // ends in .* for an open family
	types  []Type
	rows   bool // has rows that are inputs of a product: scales by channel and group
	linear bool // is multiplied by a value, so that GPTQ knows what its inputs are
}

var allTypes = []Type{F32, BF16, F16, I8, I4}

// weightRoles is the one list of weight roles.
var weightRoles = [...]weightRole{
	{role: Embed, types: allTypes, rows: true},
	{role: Head, types: allTypes, rows: true, linear: true},
	{role: InProj, types: allTypes, rows: true, linear: true},
	{role: Conv, types: anyFloatOrI8, rows: true},
	{role: XProj, types: allTypes, rows: true, linear: true},
	{role: DtProj, types: allTypes, rows: true, linear: true},
	{role: OutProj, types: allTypes, rows: true, linear: true},
	{role: Params, types: anyFloatOrI8},
	{role: "attn.*", types: allTypes, rows: true, linear: true},
	{role: "mlp.*", types: allTypes, rows: true, linear: true},
	{role: "expert.*", types: allTypes, rows: true, linear: true},
	{role: Router, types: anyFloatOrI8, rows: true, linear: true},
}

// ValueRoles lists the roles that values may have.
func ValueRoles() []Role {
	var list []Role
	for _, v := range valueRoles {
		list = append(list, v.role)
	}
	return list
}

func findValueRole(r Role) (valueRole, bool) {
	i := slices.IndexFunc(valueRoles[:], func(v valueRole) bool { return v.role == r })
	if i < 0 {
		return valueRole{}, false
	}
	return valueRoles[i], true
}

// findWeightRole finds a role, or the open family that a name belongs to.
func findWeightRole(r Role) (weightRole, bool) {
	for _, w := range weightRoles {
		if w.role == r {
			return w, true
		}
		if family, open := strings.CutSuffix(string(w.role), "*"); open {
			if name, ok := strings.CutPrefix(string(r), family); ok && isName(name) {
				return w, true
			}
		}
	}
	return weightRole{}, false
}

func isName(s string) bool {
	return s != "" && s[0] >= 'a' && s[0] <= 'z' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// IsValueRole says whether a value may have this role.
func IsValueRole(r Role) bool { _, ok := findValueRole(r); return ok }

// IsWeightRole says whether a weight may have this role.
func IsWeightRole(r Role) bool { _, ok := findWeightRole(r); return ok && !isPattern(string(r)) }

// isPattern says whether an entry's name covers more than one role.
func isPattern(name string) bool { return strings.HasSuffix(name, "*") }

// Specificity of an entry's name: which of two entries about one role wins.
const (
	coversAll = iota
	coversFamily
	coversOne
	covering // the number of these
)

func specificity(name string) int {
	switch {
	case name == "*":
		return coversAll
	case isPattern(name):
		return coversFamily
	}
	return coversOne
}

func covers(name string, r Role) bool {
	prefix, pattern := strings.CutSuffix(name, "*")
	return name == string(r) || pattern && strings.HasPrefix(string(r), prefix)
}
