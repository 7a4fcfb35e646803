package ir

// Group is what fusion makes: ops that one kernel computes together. The ops of a group are neighbours in Func.Ops.
type Group struct {
	ID   int
	Kind GroupKind
	Note string // what was fused and why, for people; printed as a comment
}

// GroupKind is the kernel template of a group.
type GroupKind uint8

// The templates.
const (
	NoGroup GroupKind = iota
	GroupMap
	GroupContract
	GroupScan
	GroupAttend
	GroupButterfly
	GroupSelect
	numGroupKinds
)

var groupKinds = [numGroupKinds]string{"none", "map", "contract", "scan", "attend", "butterfly", "select"}

// String is the name in the text form.
func (k GroupKind) String() string {
	if k >= numGroupKinds {
		return "group?"
	}
	return groupKinds[k]
}

// GroupKindByName finds a template by its name in the text form.
func GroupKindByName(name string) (GroupKind, bool) {
	for k := NoGroup + 1; k < numGroupKinds; k++ {
		if groupKinds[k] == name {
			return k, true
		}
	}
	return NoGroup, false
}
