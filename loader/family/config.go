package family

import (
	"fmt"
	"math"

	"github.com/ssmc/ssmc/loader"
)

// reader reads what configurations of several families have in common. What is wrong goes to the configuration's Problems.
type reader struct{ *loader.Config }

// eps is the small number in a norm's root.
func (r *reader) eps(key string, def float64) float64 {
	v := r.Float(key, def)
	if v < 0 || v > 1 {
		r.Problems().Add(r.Where(key), fmt.Sprintf("is %v, must be from 0 to 1", v), fmt.Sprintf("the usual value is %v", def))
		return def
	}
	return v
}

// expanded is int(expand * width).
func (r *reader) expanded(key string, def float64, width int) int {
	e := r.Float(key, def) * float64(width)
	if e < 1 || e > math.MaxInt32 {
		r.Problems().Add(r.Where(key), fmt.Sprintf("times the width %d gives %v channels", width, e), fmt.Sprintf("the usual value is %v", def))
		return 1
	}
	return int(e)
}

// rank is the rank of dt's projection; "auto" or missing is the width / 16, rounded up.
func (r *reader) rank(key string, width int) int {
	auto := (width + 15) / 16
	n := r.IntOrAuto(key, auto)
	if n < 1 {
		r.Problems().Add(r.Where(key), fmt.Sprintf("is %d, must be 1 or more", n), `write "auto" or leave the key out for the default`)
		return auto
	}
	return n
}

// activation is the function after the convolution.
func (r *reader) activation(key string) activation {
	name := r.String(key, activations[0].name)
	names := ""
	for i, a := range activations {
		if a.name == name {
			return a
		}
		if i > 0 {
			names += ", "
		}
		names += a.name
	}
	r.Problems().Add(r.Where(key), fmt.Sprintf("is %q, an activation that is not supported", name), "supported are "+names)
	return activations[0]
}

// limits reads the two bounds of dt.
func (r *reader) limits(key string) (lo, hi float64) {
	list := r.Floats(key, noLimit)
	if len(list) != 2 || list[0] > list[1] || list[1] < 0 || math.IsInf(list[0], 1) {
		r.Problems().Add(r.Where(key), fmt.Sprintf("is %v, must be two bounds, the lower one first", list), "the default is [0.0, Infinity]: no bounds")
		return noLimit[0], noLimit[1]
	}
	return list[0], list[1]
}

// divides notes it if groups of heads are not equal.
func (r *reader) divides(key string, groups, heads int) {
	if heads%groups != 0 {
		r.Problems().Add(r.Where(key), fmt.Sprintf("is %d, which does not divide the %d heads", groups, heads), "correct the number of groups or of heads")
	}
}

// groupWidth notes it if B and C of all groups are wider than any weight, so that sums of widths cannot overflow.
func (r *reader) groupWidth(key string, groups, state int) {
	if groups*state > 1<<30 {
		r.Problems().Add(r.Where(key), fmt.Sprintf("is %d: %d groups of that are too wide", state, groups), "correct the number")
	}
}
