package family

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ssmc/ssmc/internal/spell"
	"github.com/ssmc/ssmc/ir"
	"github.com/ssmc/ssmc/loader"
)

// checkpoint hands out a checkpoint's tensors as weights and remembers which were taken, so that the others can be reported.
type checkpoint struct {
	*loader.Checkpoint
	family   Family
	problems loader.Problems // of the tensors
	taken    map[string]*ir.Value
	wanted   []string // every name that was asked for, found or not
}

func newCheckpoint(c *loader.Checkpoint, f Family) *checkpoint {
	return &checkpoint{Checkpoint: c, family: f, taken: map[string]*ir.Value{}}
}

// weightTypes are the element types that a checkpoint's tensors may have.
var weightTypes = map[loader.DType]ir.DType{loader.F64: ir.F64, loader.F32: ir.F32, loader.F16: ir.F16, loader.BF16: ir.BF16}

// weight adds a tensor of the given shape to the graph, once. If it is missing or wrong that is noted, and a weight of the right shape
// without data stands for it, so that building goes on to find what else is wrong; finish then returns the problems.
func (c *checkpoint) weight(b *ir.Builder, name, tensor string, shape ...int) *ir.Value {
	if v := c.taken[tensor]; v != nil {
		return v
	}
	w := &ir.Weight{Name: tensor, DType: ir.F32, Shape: shape}
	c.wanted = append(c.wanted, tensor)
	if t, ok := c.Want(&c.problems, tensor, shape...); ok {
		w.DType = weightTypes[t.DType]
		w.Bytes = func() ([]byte, error) { return t.Data, nil }
		w.Release = func() { c.Release(t) }
	}
	v := b.Weight(name, w)
	c.taken[tensor] = v
	return v
}

// ignored are tensors that publishers leave in files and that compute nothing here.
var ignored = regexp.MustCompile(`^mtp\.|(^|\.)rotary_emb\.inv_freq$|(^|\.)position_ids$`)

// maxProblems is how many problems of tensors are looked for: an error lists 20, and a hostile file must not cost more than its size.
const maxProblems = 100

// hopeless says that enough is wrong with the tensors to stop.
func (c *checkpoint) hopeless() bool { return c.problems.Len() >= maxProblems }

// leftOver notes tensors that nothing asked for.
func (c *checkpoint) leftOver() {
	missing := slices.DeleteFunc(slices.Clone(c.wanted), c.has)
	for _, name := range c.Names {
		if c.taken[name] != nil || ignored.MatchString(name) {
			continue
		}
		fix := "remove the tensor if the model does not need it"
		if near := spell.Nearest(name, missing); near != "" {
			fix = fmt.Sprintf("if it is %q under another name, rename it", near)
		}
		t, _ := c.Tensor(name)
		c.problems.Add(fmt.Sprintf("%s: tensor %.120q", t.File, name), fmt.Sprintf("family %q has no such tensor", c.family), fix)
		if c.hopeless() {
			return
		}
	}
}

// finish returns the module, or everything that is wrong with the tensors.
func (c *checkpoint) finish(b *ir.Builder) (*ir.Module, error) {
	if !c.hopeless() { // else building has stopped early, and what it did not reach is not left over
		c.leftOver()
	}
	if err := c.problems.Err(); err != nil {
		return nil, err
	}
	return b.Finish()
}

// use marks a tensor as known although the graph does not read it.
func (c *checkpoint) use(tensor string, instead *ir.Value) { c.taken[tensor] = instead }

// has says whether the checkpoint holds a tensor.
func (c *checkpoint) has(tensor string) bool {
	_, ok := c.Tensor(tensor)
	return ok
}

var layerName = regexp.MustCompile(`^backbone\.layers\.(\d{1,6})\.`)

// layers checks the number of layers that the configuration gives against the tensors before anything is built: a wrong config.json may
// say two billion.
func (c *checkpoint) layers(key string, n int) {
	last := -1
	for _, name := range c.Names {
		if m := layerName.FindStringSubmatch(name); m != nil {
			i, _ := strconv.Atoi(m[1])
			last = max(last, i)
		}
	}
	if last+1 != n {
		c.Config.Problems().Add(c.Config.Where(key), fmt.Sprintf("is %d, but the weights have layers up to backbone.layers.%d", n, last),
			"correct the number, or add the shards that are missing")
	}
	if last < 0 {
		c.Config.Problems().Add(c.Dir, fmt.Sprintf("no tensor is named backbone.layers.0 and so on; the first is %q", c.first()),
			"check that config.json and the weights belong together")
	}
}

func (c *checkpoint) first() string {
	if len(c.Names) == 0 {
		return ""
	}
	return strings.ToValidUTF8(c.Names[0][:min(len(c.Names[0]), 80)], "?")
}

// ids gives the module its special tokens: generation_config.json's, then config.json's, then the family's own.
func (c *checkpoint) ids(m *ir.Module, bos int, eos []int) {
	m.Meta.BOS = max(c.Config.Int("bos_token_id", bos), -1)
	if list := c.EndTokens(); list != nil {
		eos = list
	}
	for _, id := range eos {
		if id >= 0 {
			m.Meta.EOS = append(m.Meta.EOS, id)
		}
	}
}
