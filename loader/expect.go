package loader

import (
	"fmt"
	"slices"
)

const fixNames = "check that config.json and the weights belong together, and that no shard is missing"

// Want finds a tensor of floats of a given shape. What is wrong is noted in problems, in the checkpoint's own names: that it is
// missing, or its shape or dtype. It then gives false.
func (c *Checkpoint) Want(problems *Problems, name string, shape ...int) (Tensor, bool) {
	t, ok := c.tensors[name]
	if !ok {
		problems.Add(c.Dir+": tensor "+quote(name), "is missing", fixNames)
		return Tensor{}, false
	}
	ok = true
	if !slices.Equal(t.Shape, shape) {
		problems.Add(t.where(), fmt.Sprintf("has shape %v, config.json implies %v", t.Shape, shape), fixNames)
		ok = false
	}
	if !t.DType.IsFloat() {
		problems.Add(t.where(), fmt.Sprintf("has dtype %s, a float is needed", t.DType), fixDType)
		ok = false
	}
	return t, ok
}
